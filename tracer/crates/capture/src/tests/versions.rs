//! Captures of every version, as a tracer of that version wrote them. Samples are never regenerated:
//! when the format changes, the old ones stay and a new one is added.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tracer_analysis::Options;
use tracer_model::Finding;
use tracer_present::text::Text;

use super::super::frame::Kind;
use super::{Header, Maker, story};
use crate::{Note, Replay, Source, Sources};

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/tests/samples")
        .join(name)
}

/// The findings of a sample as text and as JSON, and the notes.
fn shown(name: &str) -> (String, String, Vec<Note>) {
    let mut sources = Sources::open(&[Source::File(sample(name))], false).unwrap();
    let mut replay = Replay::new();
    let mut findings: Vec<Finding> = Vec::new();
    let mut notes = Vec::new();
    while let Some(item) = sources.next_item().unwrap() {
        notes.extend(replay.feed(item, &mut findings));
    }
    notes.extend(replay.finish(&mut findings));
    let mut text = Vec::new();
    let mut sink = Text::new(&mut text, false, jiff::tz::TimeZone::UTC);
    for finding in &findings {
        sink.finding(finding).unwrap();
    }
    let json = super::lines(&findings).join("\n");
    (String::from_utf8(text).unwrap(), json, notes)
}

/// Makes a sample of the current version. With `TRACER_SAMPLE=FILE` it is also written there, for
/// somebody who is about to change the format.
#[test]
fn the_sample_holds_every_kind_of_observation() {
    let header = Header {
        session: 0x5eed,
        file: 0,
        machine: story::session(),
        rules: Some((
            "/etc/tracer.toml".into(),
            "[[service]]\nname = \"shop api\"\ncmdline = \"worker\"\n".into(),
        )),
        options: Options {
            all: false,
            own_netns: 7,
            own_pid: 1,
        },
    };
    let capture = Maker::new()
        .header(&header)
        .blocks(Kind::Events, &story::everything());
    if let Some(path) = std::env::var_os("TRACER_SAMPLE") {
        fs::write(path, &capture.bytes).unwrap();
    }
    let kinds: BTreeSet<_> = story::everything()
        .iter()
        .map(|one| std::mem::discriminant(&one.what))
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds.len(), super::arbitrary::kinds().len());
    assert_eq!(
        super::observations(&super::read(&capture.bytes).unwrap()),
        super::observations(&super::read(&fs::read(sample("v1.capture")).unwrap()).unwrap())
    );
}

#[test]
fn a_capture_of_version_1_can_be_read() {
    let (text, json, notes) = shown("v1.capture");
    assert_eq!(notes, []);
    insta::assert_snapshot!("v1_text", text);
    insta::assert_snapshot!("v1_json", json);
}
