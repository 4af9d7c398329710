//! Keeps node's code in memory. It counts against the limit of the cgroup that read it first, and
//! there the kernel would drop and reread it for seconds before it kills a process.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::OnceLock;

use rustix::mm::{MapFlags, ProtFlags, mlock, mmap};

use crate::process::Guard;

/// Reads all files that node maps, in the cgroup of this process, and locks them in memory.
#[track_caller]
pub(super) fn keep_node_resident() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        for path in mapped_by_node() {
            lock(&path);
        }
    });
}

fn mapped_by_node() -> BTreeSet<PathBuf> {
    let node = Guard::ready(
        Command::new("node")
            .args(["-e", "console.log('ready'); setInterval(() => {}, 1000)"])
            .stderr(Stdio::null()),
    );
    let maps = fs::read_to_string(format!("/proc/{}/maps", node.pid())).unwrap();
    let files = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let files: BTreeSet<PathBuf> = files
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect();
    assert!(!files.is_empty(), "node maps no files:\n{maps}");
    files
}

fn lock(path: &PathBuf) {
    let file = File::open(path).unwrap();
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    // SAFETY: a new mapping of a file, at an address that the kernel chooses. It is locked, never
    // read, and never unmapped.
    unsafe {
        let flags = MapFlags::SHARED;
        let begin = mmap(ptr::null_mut(), len, ProtFlags::READ, flags, &file, 0).unwrap();
        mlock(begin, len).unwrap();
    }
}
