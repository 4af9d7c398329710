//! A replay comes to the findings of the live analysis, however the capture is split up.

use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_model::{Finding, Observation, SocketId, Timestamp, What};

use super::super::frame::Kind;
use super::{Gap, Header, Item, Maker, Note, lines, observations, read, replay, story};
use crate::checkpoint::Checkpoint;

const RULES: &str = "[[service]]\nname = \"shop api\"\ncmdline = \"worker\"\n";

fn header(session: u64, file: u32) -> Header {
    Header {
        session,
        file,
        machine: story::session(),
        rules: Some(("/etc/tracer.toml".into(), RULES.into())),
        options: Options {
            all: true,
            own_netns: 7,
            own_pid: 1,
        },
    }
}

/// The findings of the live analysis.
fn live(stream: &[Observation]) -> Vec<String> {
    let header = header(0, 0);
    let mut analysis = Analysis::new(header.rules().unwrap(), header.options);
    let mut findings: Vec<Finding> = Vec::new();
    for observation in stream {
        analysis.observe(observation, &mut findings);
    }
    lines(&findings)
}

fn known(stream: &[Observation]) -> Vec<Observation> {
    let mut checkpoint = Checkpoint::default();
    let mut now = Timestamp(0);
    for observation in stream {
        checkpoint.observe(observation);
        now = now.max(observation.at);
    }
    checkpoint.observations(now)
}

fn items(maker: &Maker) -> Vec<Item> {
    read(&maker.bytes).unwrap()
}

#[test]
fn a_replay_has_the_findings_of_the_live_analysis() {
    let stream = story::whole();
    let capture = Maker::new()
        .header(&header(1, 0))
        .blocks(Kind::Events, &stream);
    let (findings, notes) = replay(items(&capture));
    assert_eq!(notes, []);
    assert_eq!(findings, live(&stream));
    let kinds = [
        "oom",
        "death",
        "listener_down",
        "connect_failed",
        "incident",
    ];
    for kind in kinds {
        let kind = format!("\"kind\":\"{kind}\"");
        assert!(findings.iter().any(|line| line.contains(&kind)), "{kind}");
    }
    // The rules in the capture name the services.
    assert!(findings.iter().any(|line| line.contains("shop api")));
}

#[test]
fn rotated_files_are_one_stream() {
    let stream = story::whole();
    for cut in 0..stream.len() {
        let (before, after) = stream.split_at(cut);
        let first = Maker::new()
            .header(&header(1, 0))
            .blocks(Kind::Events, before);
        let second = Maker::new()
            .header(&header(1, 1))
            .blocks(Kind::Checkpoint, &known(before))
            .blocks(Kind::Events, after);
        let both = [items(&first), items(&second)].concat();
        let (findings, notes) = replay(both);
        assert_eq!(notes, [], "cut at {cut}");
        assert_eq!(findings, live(&stream), "cut at {cut}");
    }
}

#[test]
fn a_rotated_file_can_be_read_by_itself() {
    let stream = story::whole();
    let before = story::start();
    let second = Maker::new()
        .header(&header(1, 1))
        .blocks(Kind::Checkpoint, &known(&before))
        .blocks(Kind::Events, &stream[before.len()..]);
    let (findings, notes) = replay(items(&second));
    assert_eq!(notes, [Note::Begins { file: 1 }]);
    assert_eq!(findings, live(&stream));
}

#[test]
fn a_checkpoint_lacks_what_no_longer_matters() {
    let stream = [story::start(), story::outage(), story::recovery()].concat();
    let known = known(&stream);
    let pids: Vec<u32> = known
        .iter()
        .filter_map(|one| match &one.what {
            What::Process(facts) => Some(facts.task.key.pid),
            _ => None,
        })
        .collect();
    assert_eq!(pids, [story::proxy().pid, 900]);
    let scanned = known.iter().find_map(|one| match &one.what {
        What::ListenersScanned { listeners, .. } => Some(listeners.len()),
        _ => None,
    });
    assert_eq!(scanned, Some(0));
    let up = |one: &&Observation| matches!(&one.what, What::ListenerUp(up) if up.socket != SocketId::Scanned(5));
    assert_eq!(known.iter().filter(up).count(), 1);
    assert!(!known.iter().any(|one| matches!(
        one.what,
        What::Exited(_) | What::OomVictim(_) | What::ConnectFailed(_) | What::Tick
    )));
    assert_eq!(known.last().unwrap().what, What::Armed);
}

#[test]
fn a_gap_is_reported_and_the_checkpoint_after_it_makes_up_for_it() {
    let before = [story::start(), story::outage()].concat();
    let missing = story::recovery();
    let through = [before.clone(), missing.clone()].concat();
    let gap = Gap {
        at: Timestamp(75 * story::SECOND),
        observations: missing.len() as u64,
        why: "No space left on device".into(),
    };
    let capture = Maker::new()
        .header(&header(1, 0))
        .blocks(Kind::Events, &before)
        .header(&header(1, 0))
        .gap(&gap)
        .blocks(Kind::Checkpoint, &known(&through))
        .blocks(Kind::Events, &[story::end()]);
    let (findings, notes) = replay(items(&capture));
    assert_eq!(notes, [Note::Gap(gap)]);
    let lost = findings
        .iter()
        .find(|line| line.contains("\"lost\""))
        .unwrap();
    assert!(lost.contains("\"ring\":\"capture\",\"count\":5"), "{lost}");
    let up = findings
        .iter()
        .find(|line| line.contains("listener_up"))
        .unwrap();
    assert!(up.contains("\"pid\":900"), "{up}");
    let starts = findings.iter().filter(|line| line.contains("\"start\""));
    assert_eq!(starts.count(), 1);
}

#[test]
fn recordings_in_one_file_are_replayed_one_after_the_other() {
    let stream = story::whole();
    let one = Maker::new()
        .header(&header(1, 0))
        .blocks(Kind::Events, &stream);
    let other = Maker::new()
        .header(&header(2, 0))
        .blocks(Kind::Events, &stream);
    let both = [one.bytes, other.bytes].concat();
    let (findings, notes) = replay(read(&both).unwrap());
    assert_eq!(notes, []);
    assert_eq!(findings, [live(&stream), live(&stream)].concat());
}

#[test]
fn a_replay_ends_a_recording_that_has_no_end() {
    let stream = [story::start(), story::outage()].concat();
    let capture = Maker::new()
        .header(&header(1, 0))
        .blocks(Kind::Events, &stream);
    let (findings, notes) = replay(items(&capture));
    assert_eq!(notes, [Note::NoEnd]);
    let last = &stream.last().unwrap().at;
    let ended = [stream.clone(), vec![story::seen(last.0, What::End)]].concat();
    assert_eq!(findings, live(&ended));
}

#[test]
fn a_missing_file_is_reported() {
    let stream = story::start();
    let first = Maker::new()
        .header(&header(1, 0))
        .blocks(Kind::Events, &stream);
    let third = Maker::new()
        .header(&header(1, 2))
        .blocks(Kind::Events, &[story::end()]);
    let (_, notes) = replay([items(&first), items(&third)].concat());
    let missing = Note::Missing {
        expected: 1,
        found: 2,
    };
    assert_eq!(notes, [missing]);
}

#[test]
fn invalid_rules_are_ignored_and_reported() {
    let rules = Some(("x.toml".into(), "[[service]".into()));
    let header = Header {
        rules,
        ..header(1, 0)
    };
    let capture = Maker::new()
        .header(&header)
        .blocks(Kind::Events, &story::whole());
    let (findings, notes) = replay(items(&capture));
    assert!(matches!(&notes[..], [Note::Rules(_)]), "{notes:?}");
    assert!(findings.iter().any(|line| line.contains("api.service")));
}

#[test]
fn the_recorded_rules_are_those_that_were_read() {
    let rules = Rules::parse(RULES, "/etc/tracer.toml").unwrap();
    assert_eq!(rules.source(), Some(("/etc/tracer.toml", RULES)));
    assert_eq!(Rules::none().source(), None);
}

#[test]
fn a_stream_of_many_blocks_round_trips() {
    let stream: Vec<Observation> = (0..5000).map(|n| story::refused(n * 1000)).collect();
    let capture = Maker::new().blocks(Kind::Events, &stream);
    assert!(capture.framer.sequence() > 1);
    assert!(capture.bytes.len() < stream.len() * 40);
    assert_eq!(observations(&items(&capture)), stream);
}
