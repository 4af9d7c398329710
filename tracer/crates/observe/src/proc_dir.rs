//! A process's directory in /proc, and whether the process is running, exiting or gone.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, OFlags};

use tracer_model::{Comm, Pid, ProcessKey};

/// Longest stat read: a line of some fifty numbers and a name.
const MAX_STAT: u64 = 4 << 10;
/// Longest status read. The user's groups, which may be many, precede `NSpid:`.
pub(super) const MAX_STATUS: u64 = 64 << 10;

/// A process's directory in /proc, held open. It keeps belonging to that process and is empty once the
/// process is gone, so facts of two processes with the same pid never mix.
#[derive(Debug)]
pub(super) struct ProcDir(OwnedFd);

impl ProcDir {
    pub(super) fn open(pid: Pid) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty());
        directory.ok().map(Self)
    }

    /// The first `limit` bytes of a file, read into `room`.
    pub(super) fn read<'a>(
        &self,
        file: &str,
        limit: u64,
        room: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, file, flags, Mode::empty()).ok()?;
        room.clear();
        File::from(file).take(limit).read_to_end(room).ok()?;
        Some(room)
    }

    /// Parses `stat`, which describes the first thread.
    pub(super) fn stat(&self, room: &mut Vec<u8>) -> Option<Stat> {
        Stat::parse(self.read("stat", MAX_STAT, room)?)
    }

    /// Whether all threads are exiting. Such a process runs no more code of its program, but may keep its
    /// sockets until the kernel has freed its memory.
    pub(super) fn is_exiting(&self, first: &Stat, room: &mut Vec<u8>) -> bool {
        first.exiting
            && (first.threads <= 1 || !self.has_a_running_thread(room).unwrap_or_default())
    }

    fn has_a_running_thread(&self, room: &mut Vec<u8>) -> Option<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let threads = rustix::fs::openat(&self.0, "task", flags, Mode::empty()).ok()?;
        for thread in Dir::read_from(&threads).ok()? {
            let thread = thread.ok()?;
            let Ok(name) = thread.file_name().to_str() else {
                continue;
            };
            let stat = self.read(&format!("task/{name}/stat"), MAX_STAT, room);
            if stat.and_then(Stat::parse).is_some_and(|stat| !stat.exiting) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The target of a link.
    pub(super) fn link(&self, name: &str) -> Option<Box<str>> {
        let target = rustix::fs::readlinkat(&self.0, name, Vec::new()).ok()?;
        let text = target.to_string_lossy();
        Some(text.strip_suffix(" (deleted)").unwrap_or(&text).into())
    }
}

/// The process that the thread `tid` belongs to.
pub(super) fn process_of(tid: Pid) -> Option<Pid> {
    let mut room = Vec::new();
    let status = ProcDir::open(tid)?.read("status", MAX_STATUS, &mut room)?;
    number_after(&String::from_utf8_lossy(status), "Tgid:")
}

/// Inode of the network namespace of `pid` (or `self`).
pub(super) fn netns_of(pid: &str) -> Option<u32> {
    let target = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    netns(target.to_str()?)
}

/// Parses `net:[4026531840]`.
pub(super) fn netns(link: &str) -> Option<u32> {
    let inode = link.strip_prefix("net:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// All pids, ascending.
pub(super) fn all_pids() -> Vec<Pid> {
    let mut pids: Vec<Pid> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// Creation time of a process that has not exited, in ticks.
pub(super) fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = ProcDir::open(pid)?.stat(&mut Vec::new())?;
    (!stat.exited).then_some(stat.start_ticks)
}

/// Whether a process exists and has not exited; it may be exiting.
pub fn is_there(key: ProcessKey) -> bool {
    start_ticks(key.pid) == Some(key.start_ticks)
}

/// Whether a process exists and is not exiting.
pub fn lives(key: ProcessKey) -> bool {
    let mut room = Vec::new();
    ProcDir::open(key.pid).is_some_and(|process| {
        let stat = process.stat(&mut room);
        stat.is_some_and(|stat| {
            stat.start_ticks == key.start_ticks && !process.is_exiting(&stat, &mut room)
        })
    })
}

/// The fields of /proc/PID/stat that are used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: Comm,
    pub(super) ppid: Pid,
    pub(super) start_ticks: u64,
    pub(super) threads: u64,
    pub(super) kernel_thread: bool,
    /// This thread is exiting or has exited.
    pub(super) exiting: bool,
    /// The process has exited and waits for its parent to reap it. A first thread that exited before the
    /// others looks the same, except for the number of threads.
    pub(super) exited: bool,
}

impl Stat {
    /// The name is in parentheses and may itself contain any byte, including parentheses.
    fn parse(stat: &[u8]) -> Option<Self> {
        /// `PF_KTHREAD`.
        const KERNEL_THREAD: u64 = 0x0020_0000;
        /// `PF_EXITING`.
        const EXITING: u64 = 0x0000_0004;
        let open = stat.iter().position(|&b| b == b'(')?;
        let close = stat.iter().rposition(|&b| b == b')')?;
        let name = stat.get(open + 1..close)?;
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name[..len]);
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        // `rest` begins with the third field.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let flags: u64 = field(9)?.parse().ok()?;
        let threads: u64 = field(20)?.parse().ok()?;
        Some(Self {
            comm: Comm(comm),
            ppid: field(4)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
            threads,
            kernel_thread: flags & KERNEL_THREAD != 0,
            exiting: flags & EXITING != 0,
            exited: matches!(field(3)?, "Z" | "X" | "x") && threads <= 1,
        })
    }
}

/// The first number in the line of `status` that begins with `label`.
pub(super) fn number_after(status: &str, label: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The last number in that line.
pub(super) fn last_number_after(status: &str, label: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_directory_held_open_never_shows_another_process() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let process = ProcDir::open(child.id()).unwrap();
        let mut room = Vec::new();
        assert!(process.stat(&mut room).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.stat(&mut room), None);
        assert_eq!(process.link("exe"), None);
    }

    #[test]
    fn names_may_contain_any_character() {
        let rest = " S 7 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1";
        for name in ["plain", "a b", ") S 1 (", "new\nline", ""] {
            let stat = Stat::parse(format!("12 ({name}){rest}").as_bytes()).unwrap();
            assert_eq!(stat.comm, Comm::new(name));
            assert_eq!((stat.ppid, stat.start_ticks), (7, 4242));
        }
    }

    #[test]
    fn a_process_exits_with_its_last_thread() {
        for (state, threads, exited) in [("Z", 1, true), ("X", 0, true), ("Z", 3, false)] {
            let rest = format!(" {state} 7 1 1 0 -1 4 1 2 3 4 5 6 7 8 20 0 {threads} 0 4242 1");
            let stat = Stat::parse(format!("12 (a){rest}").as_bytes()).unwrap();
            assert_eq!(stat.exited, exited, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_content_of_stat_is_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
        }
    }
}
