//! The recorder with real files.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracer_analysis::Options;
use tracer_analysis::rules::Rules;
use tracer_model::{Finding, Observation, What};

use super::{Header, Item, lines, observations, read, story};
use crate::{Notice, Recorder, Replay, Rotation, Setup, Source, Sources, Summary, Target};

type Notices = Arc<Mutex<Vec<Notice>>>;

fn recorder(path: &Path, rotation: Option<Rotation>) -> (Recorder, Notices) {
    let notices = Notices::default();
    let received = Arc::clone(&notices);
    let notice = move |notice| received.lock().unwrap().push(notice);
    let setup = Setup {
        flush_interval: Duration::from_millis(50),
        ..Setup::new(Target::File(path.to_owned()), rotation)
    };
    let machine = story::session();
    let recorder =
        Recorder::start(&setup, &Rules::none(), Options::default(), machine, notice).unwrap();
    (recorder, notices)
}

fn record(path: &Path, stream: &[Observation]) -> Summary {
    let (recorder, notices) = recorder(path, None);
    for observation in stream {
        recorder.record(observation);
    }
    let summary = recorder.finish().unwrap();
    assert_eq!(*notices.lock().unwrap(), []);
    summary
}

fn wait_until(what: &str, fits: impl Fn() -> bool) {
    let began = Instant::now();
    while !fits() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_recorded_observation_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.capture");
    let stream = story::whole();
    let summary = record(&path, &stream);
    let bytes = fs::read(&path).unwrap();
    let items = read(&bytes).unwrap();
    assert_eq!(observations(&items), stream);
    let expected = Summary {
        observations: stream.len() as u64,
        lost: 0,
        bytes: bytes.len() as u64,
        files: 1,
    };
    assert_eq!(summary, expected);
}

#[test]
fn the_header_is_written_again_with_the_hooks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.capture");
    let (recorder, _) = recorder(&path, None);
    let mut session = story::session();
    session.blind = vec!["a lot".into()];
    recorder.record(&story::seen(1, What::Session(Box::new(session.clone()))));
    recorder.finish().unwrap();
    let items = read(&fs::read(&path).unwrap()).unwrap();
    let headers: Vec<&Header> = items
        .iter()
        .filter_map(|item| match item {
            Item::Header(header) => Some(&**header),
            _ => None,
        })
        .collect();
    let [first, second] = headers[..] else {
        panic!("two headers: {headers:?}");
    };
    assert_eq!(first.session, second.session);
    assert_eq!(second.machine, session);
}

#[test]
fn a_second_recording_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.capture");
    let stream = story::whole();
    record(&path, &stream);
    let first = fs::read(&path).unwrap();
    record(&path, &stream);
    let both = fs::read(&path).unwrap();
    assert!(both.starts_with(&first));
    let items = read(&both).unwrap();
    assert_eq!(observations(&items).len(), 2 * stream.len());
    assert!(!items.iter().any(|item| matches!(item, Item::Damage(_))));
}

#[test]
fn a_death_is_written_at_once_and_the_rest_within_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.capture");
    let recorder = Recorder::start(
        &Setup {
            flush_interval: Duration::from_hours(1),
            ..Setup::new(Target::File(path.clone()), None)
        },
        &Rules::none(),
        Options::default(),
        story::session(),
        |_| (),
    )
    .unwrap();
    let written = || observations(&read(&fs::read(&path).unwrap()).unwrap()).len();
    recorder.record(&story::refused(1));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(written(), 0);
    recorder.record(&story::outage()[1]);
    wait_until("the death", || written() == 2);
    recorder.finish().unwrap();

    let path = folder.path().join("b.capture");
    let (recorder, _) = self::recorder(&path, None);
    let written = || observations(&read(&fs::read(&path).unwrap()).unwrap()).len();
    recorder.record(&story::refused(1));
    wait_until("the interval", || written() == 1);
    recorder.finish().unwrap();
}

/// The findings of files, as `tracer replay` prints them.
fn replayed(files: &[PathBuf]) -> Vec<String> {
    let files: Vec<Source> = files.iter().cloned().map(Source::File).collect();
    let mut sources = Sources::open(&files, false).unwrap();
    let mut replay = Replay::new();
    let mut findings: Vec<Finding> = Vec::new();
    while let Some(item) = sources.next_item().unwrap() {
        let notes = replay.feed(item, &mut findings);
        assert_eq!(notes, []);
    }
    assert_eq!(replay.finish(&mut findings), None);
    lines(&findings)
}

#[test]
fn the_order_of_rotated_files_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("one.capture");
    let path = folder.path().join("a.capture");
    let storm = |at| (0..400).map(move |n| story::refused(at + n * story::MS));
    let mut stream = story::start();
    stream.extend(storm(61 * story::SECOND));
    stream.extend(story::outage());
    stream.extend(storm(71 * story::SECOND));
    stream.extend(story::recovery());
    stream.push(story::end());
    record(&one, &stream);

    let rotation = Rotation {
        bytes: 700,
        keep: 1000,
    };
    let (recorder, notices) = recorder(&path, Some(rotation));
    for observation in &stream {
        recorder.record(observation);
        std::thread::sleep(Duration::from_micros(300));
    }
    let summary = recorder.finish().unwrap();
    assert_eq!(*notices.lock().unwrap(), []);
    assert!(summary.files > 3, "{summary:?}");
    let mut files: Vec<PathBuf> = (1..summary.files)
        .map(|number| folder.path().join(format!("a.capture.{number}")))
        .collect();
    files.insert(0, path);
    assert_eq!(replayed(&files), replayed(&[one]));
}

/// A new pipe, open at both ends so that neither waits for the other.
fn open_pipe(path: &Path) -> fs::File {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

/// Reads a pipe until `done` says that nothing more is written to it.
fn read_pipe(mut pipe: fs::File, done: &Receiver<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while done.try_recv().is_err() {
        let mut ready = [rustix::event::PollFd::new(
            &pipe,
            rustix::event::PollFlags::IN,
        )];
        let wait = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        if rustix::event::poll(&mut ready, Some(&wait)).unwrap() > 0 {
            let read = pipe.read(&mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..read]);
        }
    }
    bytes
}

#[test]
fn a_slow_disk_costs_observations_and_does_not_block_the_tracer() {
    // A pipe that nobody reads is the slowest disk.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let pipe = open_pipe(&path);
    let (recorder, _) = recorder(&path, None);
    let total: u64 = 400_000;
    let mut text = [b'a'; 400];
    for n in 0..total {
        // Text that can't be compressed.
        for (index, byte) in text.iter_mut().enumerate() {
            *byte = b'a' + u8::try_from(((n * 2_654_435_761) >> (index % 31)) % 26).unwrap();
        }
        recorder.record(&story::seen(
            n,
            What::Cgroup {
                id: 1,
                path: std::str::from_utf8(&text).unwrap().into(),
                memory_limit_bytes: Some(n),
            },
        ));
        if n % 100_000 == 0 {
            let began = Instant::now();
            recorder.record(&story::refused(n));
            assert!(began.elapsed() < Duration::from_millis(500));
        }
    }
    let (sender, done) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || read_pipe(pipe, &done));
    let summary = recorder.finish().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    sender.send(()).unwrap();
    let bytes = reader.join().unwrap();
    let items = read(&bytes).unwrap();
    assert!(summary.lost > 0, "{summary:?}");
    assert_eq!(summary.observations, observations(&items).len() as u64);
    let gaps: u64 = items
        .iter()
        .map(|item| match item {
            Item::Gap(gap) => gap.observations,
            _ => 0,
        })
        .sum();
    assert_eq!(gaps, summary.lost);
    assert_eq!(summary.observations + summary.lost, total + 4);
    // The checkpoint has the last observation of the cgroup, even if it was not written itself.
    let last = items.iter().rev().find_map(|item| match item {
        Item::Known(known) => match known.what {
            What::Cgroup {
                memory_limit_bytes, ..
            } => memory_limit_bytes,
            _ => None,
        },
        _ => None,
    });
    assert!(last.is_some());
}
