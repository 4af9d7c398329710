//! A recording survives the death of its recorder at any moment, and a full disk.

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
use tracer_tests::{Program, need_root, run_tracer, wait_until};

/// How many recorders are killed, and how many run at a time.
const KILLS: u32 = 100;
const AT_A_TIME: u32 = 5;

/// The time until the recorder's thread runs, on a busy machine.
const LATENCY: Duration = Duration::from_millis(400);
/// The recorder has written everything that is older than this.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// The time that anything else may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs short processes that succeed and fail, one after another, until it is dropped.
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
                // The load: about a hundred exits a second.
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
            // If it panicked, the test fails for want of deaths.
            let _ = thread.join();
        }
    }
}

/// Pids of the deaths among these findings; with `failed`, only of error exits.
fn deaths_in(lines: &str, failed: bool) -> BTreeSet<u32> {
    // The last line may be incomplete.
    let whole = lines.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|finding| finding["kind"] == "death")
        .filter(|death| !failed || death["exit_code"] != 0)
        .map(|death| u32::try_from(death["process"]["pid"].as_u64().unwrap()).unwrap())
        .collect()
}

/// Pids of the deaths in a capture, and the remarks of its replay.
#[track_caller]
fn deaths(capture: &Path) -> (BTreeSet<u32>, String) {
    let (status, out, err) =
        run_tracer(["replay".as_ref(), "--json".as_ref(), capture.as_os_str()]);
    assert!(status.success(), "{err}");
    let deaths = deaths_in(&out, false);
    (deaths, err)
}

/// Kills a recorder after `time`. It records each observation before it prints the finding, so what
/// it printed early enough must be in the file. Returns the number of deaths that had to be there.
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
    // Time itself is tested: findings that were printed so long before the kill must be in the
    // file.
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
    // An error exit is written at once.
    due.extend(printed_until(LATENCY, true));
    thread::sleep((armed + time).saturating_duration_since(Instant::now()));
    recorder.signal(Signal::KILL);
    recorder.wait_for_exit();

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
    assert!(checked > 1000, "only {checked} deaths were checked");
}

/// A small file system.
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
        // A mounted folder cannot be removed.
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

    // Fill the disk, except for a page or two.
    let ballast = disk.path("ballast");
    wait_until("the first death in the capture", LIMIT, || {
        deaths(&capture).0.contains(&before).then_some(())
    });
    let mut size: usize = 1 << 20;
    while size > 0 && fs::write(&ballast, vec![0; size]).is_err() {
        size -= 4096;
    }
    wait_until("the recording to stop", LIMIT, || {
        fails();
        watch
            .stderr()
            .contains("recording has stopped")
            .then_some(())
    });
    let said = watch.stderr();
    assert!(said.contains("No space left on device"), "{said}");
    // Watching continues. Time itself is tested: the recorder retries every second, and must not
    // report each attempt.
    let meanwhile = fails();
    prints_death_of(meanwhile);
    thread::sleep(FLUSH_INTERVAL * 5 / 2);
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
    let (_, out, _) = run_tracer(args);
    let lost = out.lines().find(|line| line.contains("\"kind\":\"lost\""));
    assert!(lost.unwrap().contains("\"ring\":\"capture\""), "{lost:?}");
}
