//! Captures are as `docs/capture.proto` describes them.

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tracer_analysis::Options;
use tracer_model::{Observation, Timestamp};

use super::super::block::build;
use super::super::frame::Kind;
use super::arbitrary;
use super::wire::{self, Wire as _};
use crate::{Gap, Header};

fn pool() -> DescriptorPool {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs");
    let files = protox::compile(["capture.proto"], [docs]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

/// Decodes `bytes` with the description alone; every field must be described.
#[track_caller]
fn described(pool: &DescriptorPool, name: &str, bytes: &[u8]) -> DynamicMessage {
    let message = pool.get_message_by_name(&format!("tracer.capture.v1.{name}"));
    let message = DynamicMessage::decode(message.unwrap(), bytes).unwrap();
    check(&message);
    assert_eq!(message.encode_to_vec().len(), bytes.len(), "{message}");
    message
}

#[track_caller]
fn check(message: &DynamicMessage) {
    let unknown: Vec<_> = message.unknown_fields().collect();
    assert!(unknown.is_empty(), "{unknown:?} in {message}");
    for (field, value) in message.fields() {
        let inside = match value {
            Value::List(list) => list.iter().collect(),
            one => vec![one],
        };
        for value in inside {
            match value {
                Value::Message(message) => check(message),
                Value::EnumNumber(number) => {
                    let kind = field.kind();
                    let known = kind.as_enum().unwrap().get_value(*number);
                    assert!(known.is_some(), "{number} of {}", field.full_name());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_kind_of_observation_is_described() {
    let pool = pool();
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for kind in arbitrary::kinds() {
        for round in 1..=20 {
            let what = kind.new_tree(&mut runner).unwrap().current();
            let at = Timestamp(round);
            let observation = Observation { at, what };
            let block = build(std::iter::once(&observation)).remove(0);
            let block = described(&pool, "Block", &block.raw);
            let events = block.get_field_by_name("events").unwrap().into_owned();
            let Some([Value::Message(event)]) = events.as_list() else {
                panic!("one event: {block}");
            };
            let name = event
                .fields()
                .map(|(field, _)| field.name().to_owned())
                .find(|name| name != "after_ns");
            seen.insert(name.unwrap());
        }
    }
    let oneof = pool
        .get_message_by_name("tracer.capture.v1.Event")
        .unwrap()
        .oneofs()
        .next()
        .unwrap();
    let described: std::collections::BTreeSet<String> = oneof
        .fields()
        .map(|field| field.name().to_owned())
        .collect();
    assert_eq!(seen, described);
}

#[test]
fn headers_and_gaps_are_described() {
    let pool = pool();
    let mut runner = TestRunner::deterministic();
    for round in 0..20 {
        let header = Header {
            session: round,
            file: 3,
            machine: arbitrary::session()
                .new_tree(&mut runner)
                .unwrap()
                .current(),
            rules: Some(("/etc/tracer.toml".into(), "[[service]]".into())),
            options: Options {
                all: true,
                own_netns: 1,
                own_pid: 2,
            },
        };
        described(&pool, "Header", &wire::Header::of(&header).encode_to_vec());
    }
    let gap = Gap {
        at: Timestamp(1),
        observations: 2,
        why: "No space left on device".into(),
    };
    described(&pool, "Gap", &wire::Gap::of(&gap).encode_to_vec());
}

#[test]
fn the_example_in_the_specification_is_correct() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/capture-format.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```hex\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let example = [super::story::refused(60 * super::story::SECOND)];
    let bytes = super::Maker::new().blocks(Kind::Events, &example).bytes;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<String> = hex.chunks(16).map(|line| line.join(" ") + "\n").collect();
    assert_eq!(shown, lines.concat());
}
