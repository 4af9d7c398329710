//! What a recording survives: its recorder's death at any moment, and a full disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Program, ended, need_root};

/// How often a recorder is killed, and how many there are at a time.
const KILLS: u32 = 100;
const AT_A_TIME: u32 = 5;

/// Until the recorder's thread gets to run, on a busy machine.
const LATENCY: Duration = Duration::from_millis(400);
/// What waits this long has been written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Processes that come and go, well and not, one after the other, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for program in ["/bin/true", "/bin/false"] {
                    Command::new(program).status().unwrap();
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic is a test's failure of its own.
            let _ = thread.join();
        }
    }
}

/// Pids of the deaths that were found, by their lines; with `failed`, of those only.
fn deaths_in(lines: &str, failed: bool) -> BTreeSet<u32> {
    // The last line may be half written.
    let whole = lines.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|finding| finding["kind"] == "death")
        .filter(|death| !failed || death["exit_code"] != 0)
        .map(|death| u32::try_from(death["process"]["pid"].as_u64().unwrap()).unwrap())
        .collect()
}

/// Pids of the deaths in a capture, and what was said of it.
#[track_caller]
fn deaths(capture: &Path) -> (BTreeSet<u32>, String) {
    let (status, out, err) = ended(["replay".as_ref(), "--json".as_ref(), capture.as_os_str()]);
    assert!(status.success(), "{err}");
    let deaths = deaths_in(&out, false);
    (deaths, err)
}

/// A recorder that is killed after `time`. What it printed had been taken in by the recording before:
/// if that was early enough, it is in the file. The number of deaths that had to be.
fn kill_after(folder: &Path, number: u32, time: Duration) -> usize {
    let capture = folder.join(format!("{number}.capture"));
    let args = [
        "watch".as_ref(),
        "--json".as_ref(),
        "--all".as_ref(),
        "--record".as_ref(),
        capture.as_os_str(),
    ];
    let mut recorder = Program::start(folder, &number.to_string(), args);
    recorder.prints("\"kind\":\"start\"");
    let armed = Instant::now();
    let printed_until = |before_the_kill: Duration, failed: bool| {
        let at = armed + time.saturating_sub(before_the_kill);
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if time > before_the_kill {
            deaths_in(&recorder.stdout(), failed)
        } else {
            BTreeSet::new()
        }
    };
    let mut due = printed_until(LATENCY + FLUSH_INTERVAL, false);
    // A failure is written at once.
    due.extend(printed_until(LATENCY, true));
    thread::sleep((armed + time).saturating_duration_since(Instant::now()));
    recorder.signal(Signal::KILL);
    recorder.ended();

    let (seen, said) = deaths(&capture);
    for line in said.lines() {
        let expected = line.contains("has no end") || line.contains("the last frame is cut off");
        assert!(expected, "{said}");
    }
    let missing: Vec<&u32> = due.difference(&seen).collect();
    assert!(
        missing.is_empty(),
        "{number}: {missing:?} of {due:?}; {said}"
    );
    fs::remove_file(capture).unwrap();
    due.len()
}

#[test]
fn a_recorder_killed_at_any_moment_loses_no_more_than_the_flush_interval() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let _load = Load::start();
    let mut checked = 0;
    let mut state = 1u32;
    for round in 0..KILLS / AT_A_TIME {
        checked += thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_A_TIME)
                .map(|one| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let time = Duration::from_millis(u64::from(state >> 16) % 2500);
                    let number = round * AT_A_TIME + one;
                    let folder = folder.path();
                    scope.spawn(move || kill_after(folder, number, time))
                })
                .collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.sum::<usize>()
        });
    }
    assert!(checked > 1000, "{checked} were checked");
}

/// A small disk.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    #[track_caller]
    fn new(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(&*options),
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Otherwise the folder could not be removed.
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

fn fails() -> u32 {
    let mut child = Command::new("/bin/false").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn a_full_disk_stops_the_recording_until_there_is_room() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new("size=1m");
    let capture = disk.path("a.capture");
    let args = [
        "watch".as_ref(),
        "--json".as_ref(),
        "--all".as_ref(),
        "--record".as_ref(),
        capture.as_os_str(),
    ];
    let mut watch = Program::start(folder.path(), "watch", args);
    watch.prints("\"kind\":\"start\"");
    let before = fails();
    let prints_death_of = |pid: u32| watch.prints(&format!("\"process\":{{\"pid\":{pid},"));
    prints_death_of(before);

    // Everything but a page or two of the disk.
    let ballast = disk.path("ballast");
    thread::sleep(Duration::from_millis(300));
    let mut size: usize = 1 << 20;
    while size > 0 && fs::write(&ballast, vec![0; size]).is_err() {
        size -= 4096;
    }
    let began = Instant::now();
    while !watch.stderr().contains("recording has stopped") {
        fails();
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            watch.stderr()
        );
    }
    let said = watch.stderr();
    assert!(said.contains("No space left on device"), "{said}");
    // Watching goes on, and it was said once.
    let meanwhile = fails();
    prints_death_of(meanwhile);
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(watch.stderr(), said);

    fs::remove_file(ballast).unwrap();
    watch.says("recording resumed");
    let after = fails();
    prints_death_of(after);
    assert!(watch.stop().success());
    let said = watch.stderr();
    assert!(said.contains("more could not be written"), "{said}");

    let (seen, said) = deaths(&capture);
    assert!(seen.contains(&before) && seen.contains(&after), "{seen:?}");
    assert!(!seen.contains(&meanwhile));
    assert!(said.contains("observations are missing"), "{said}");
    assert!(!said.contains("damaged"), "{said}");
    let args = ["replay".as_ref(), "--json".as_ref(), capture.as_os_str()];
    let (_, out, _) = ended(args);
    let lost = out.lines().find(|line| line.contains("\"kind\":\"lost\""));
    assert!(lost.unwrap().contains("\"ring\":\"capture\""), "{lost:?}");
}
