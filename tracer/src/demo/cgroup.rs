//! A cgroup with a memory limit for the worker: v2 if it has the memory controller, else v1.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::error::DemoError;

/// How often, and how long apart, removal is tried: the kernel may still be releasing the processes
/// that were in the cgroup.
const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// A cgroup. Dropping this removes it.
#[derive(Debug)]
pub(super) struct MemoryCgroup {
    dir: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl MemoryCgroup {
    /// Creates `name` with a memory limit and, if the kernel accounts for swap, without swap.
    pub(super) fn create(name: &str, limit_bytes: u64) -> Result<Self, DemoError> {
        let mountinfo =
            fs::read_to_string("/proc/self/mountinfo").map_err(|source| DemoError::File {
                action: "read",
                path: "/proc/self/mountinfo".into(),
                source,
            })?;
        let mut tried = Vec::new();
        for (version, root) in hierarchies(&mountinfo) {
            let dir = root.join(name);
            match prepare(&version, &root, &dir, limit_bytes) {
                Ok(()) => return Ok(Self { dir }),
                Err(reason) => {
                    // No process has entered it yet.
                    let _ = fs::remove_dir(&dir);
                    tried.push(reason);
                }
            }
        }
        if tried.is_empty() {
            tried.push("no cgroup hierarchy is mounted".to_owned());
        }
        Err(DemoError::NoMemoryCgroup {
            tried: tried.join("; "),
        })
    }

    /// The `cgroup.procs` file. A process that writes `0` to it enters the cgroup.
    pub(super) fn procs_file(&self) -> Result<File, DemoError> {
        let path = self.dir.join("cgroup.procs");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|source| DemoError::File {
                action: "open",
                path,
                source,
            })
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    thread::sleep(REMOVE_PAUSE);
                }
                _ => return,
            }
        }
    }
}

/// The hierarchies in which a memory cgroup could be created, v2 first.
fn hierarchies(mountinfo: &str) -> Vec<(Version, PathBuf)> {
    let mut found: Vec<(Version, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(mount), mut right) = (left.split(' ').nth(4), right.split(' ')) else {
            continue;
        };
        match (right.next(), right.nth(1)) {
            (Some("cgroup2"), _) => found.insert(0, (Version::V2, mount.into())),
            (Some("cgroup"), Some(options)) if options.split(',').any(|o| o == "memory") => {
                found.push((Version::V1, mount.into()));
            }
            _ => {}
        }
    }
    found
}

/// Creates `dir` and sets its limit. An error is a reason for the user.
fn prepare(version: &Version, root: &Path, dir: &Path, limit_bytes: u64) -> Result<(), String> {
    let write = |path: &Path, value: &str| {
        fs::write(path, value).map_err(|error| format!("{}: {error}", path.display()))
    };
    if *version == Version::V2 {
        let offered = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !offered.split_whitespace().any(|name| name == "memory") {
            return Err(format!("{} has no memory controller", root.display()));
        }
        let control = root.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&control).unwrap_or_default();
        if !enabled.split_whitespace().any(|name| name == "memory") {
            write(&control, "+memory")?;
        }
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(format!("{}: {error}", dir.display()));
        }
        _ => {}
    }
    let limit = limit_bytes.to_string();
    let (memory, swap, swap_limit) = match version {
        Version::V2 => ("memory.max", "memory.swap.max", "0"),
        Version::V1 => (
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            limit.as_str(),
        ),
    };
    write(&dir.join(memory), &limit)?;
    // The file does not exist if the kernel does not account for swap. The leak then takes longer.
    let _ = fs::write(dir.join(swap), swap_limit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_v2_comes_first_and_other_controllers_are_ignored() {
        let mountinfo = "\
30 23 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 23 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
broken line
33 23";
        assert_eq!(
            hierarchies(mountinfo),
            [
                (Version::V2, PathBuf::from("/sys/fs/cgroup/unified")),
                (Version::V1, PathBuf::from("/sys/fs/cgroup/memory")),
            ]
        );
    }

    #[test]
    fn a_hierarchy_without_the_memory_controller_is_rejected_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let refused = prepare(&Version::V2, root.path(), &root.path().join("x"), 1).unwrap_err();
        assert!(refused.ends_with("has no memory controller"), "{refused}");
    }
}
