//! A memory cgroup with a limit, v1 or v2, whichever the host has.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::privilege::need_root;

/// A cgroup of the test. Dropping it kills the processes left in it and removes it.
pub struct MemoryCgroup {
    directory: PathBuf,
    root: PathBuf,
    v2: bool,
}

impl MemoryCgroup {
    /// Makes `/<name>` with a limit of `limit_bytes`, without swap.
    #[track_caller]
    pub fn new(name: &str, limit_bytes: u64) -> Self {
        need_root();
        let v2_root = Path::new("/sys/fs/cgroup");
        let v1_root = Path::new("/sys/fs/cgroup/memory");
        let v2 = fs::read_to_string(v2_root.join("cgroup.controllers"))
            .is_ok_and(|text| text.split(' ').any(|one| one.trim() == "memory"));
        let root = if v2 { v2_root } else { v1_root };
        assert!(root.is_dir(), "no memory cgroups at {}", root.display());
        if v2 {
            fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
        }
        let cgroup = Self {
            directory: root.join(format!("{name}-{}", std::process::id())),
            root: root.to_owned(),
            v2,
        };
        cgroup.make(limit_bytes);
        cgroup
    }

    /// Makes a cgroup inside this one.
    #[track_caller]
    pub fn child(&self, name: &str, limit_bytes: Option<u64>) -> Self {
        if self.v2 {
            self.write("cgroup.subtree_control", "+memory");
        }
        let child = Self {
            directory: self.directory.join(name),
            root: self.root.clone(),
            v2: self.v2,
        };
        child.make(limit_bytes.unwrap_or(0));
        child
    }

    fn make(&self, limit_bytes: u64) {
        fs::create_dir(&self.directory).unwrap();
        if limit_bytes > 0 {
            let limit = limit_bytes.to_string();
            let (file, swap) = if self.v2 {
                ("memory.max", ("memory.swap.max", "0"))
            } else {
                (
                    "memory.limit_in_bytes",
                    ("memory.memsw.limit_in_bytes", &*limit),
                )
            };
            self.write(file, &limit);
            // Kernels without swap accounting do not have this file.
            let _ = fs::write(self.directory.join(swap.0), swap.1);
        }
    }

    /// Writes one of its files.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let path = self.directory.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Whether it is a cgroup of version 2.
    pub fn is_v2(&self) -> bool {
        self.v2
    }

    /// Its path from the root of the hierarchy.
    pub fn path(&self) -> String {
        format!(
            "/{}",
            self.directory.strip_prefix(&self.root).unwrap().display()
        )
    }

    /// The file that takes the pids of processes that enter.
    pub fn procs(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    /// Kills every process inside. Only the test puts processes there.
    fn kill(&self) {
        let pids = fs::read_to_string(self.procs()).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Lets `command` start inside.
    pub fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let procs = self.procs();
        // SAFETY: between fork and exec the child only writes a file; it waits for no lock of the
        // parent's other threads that glibc does not reset.
        unsafe { command.pre_exec(move || fs::write(&procs, "0")) }
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // Its processes may take a moment to exit. One that is busy with garbage collection ignores
        // SIGTERM and would outlive its manager.
        for attempt in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            if attempt >= 50 {
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
