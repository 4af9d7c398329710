//! A process's facts from /proc. Anything may be missing: the process may be gone half-way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::cgroups::{CgroupTree, path_in, telling_path};
use super::users::Users;
use crate::model::{Comm, Hierarchy, Pid, ProcessFacts, ProcessKey, TaskFacts};

/// Longest command line kept.
const MAX_CMDLINE: usize = 4 << 10;
/// Longest environment read.
const MAX_ENVIRON: usize = 128 << 10;
/// Longest value of an environment variable kept.
const MAX_VALUE: usize = 1 << 10;

/// The environment variables that are kept: they name a service or a limit.
const ENVIRONMENT: [&str; 14] = [
    "SUPERVISOR_ENABLED",
    "SUPERVISOR_PROCESS_NAME",
    "SUPERVISOR_GROUP_NAME",
    "pm_id",
    "name",
    "pm_exec_path",
    "PM2_HOME",
    "NODE_APP_INSTANCE",
    "namespace",
    "NODE_OPTIONS",
    "INVOCATION_ID",
    "PHP_FPM_POOL",
    "KUBERNETES_SERVICE_HOST",
    "HOSTNAME",
];

/// What reading needs besides the pid.
#[derive(Debug)]
pub(super) struct ProcessReader {
    pub(super) hierarchy: Hierarchy,
    pub(super) cgroups: CgroupTree,
    pub(super) users: Users,
}

impl ProcessReader {
    /// Facts of a living process; `None` when it is gone, a kernel thread, or was replaced by
    /// another of the same pid while it was read.
    pub(super) fn read(&mut self, pid: Pid, from_scan: bool) -> Option<ProcessFacts> {
        let stat = Stat::read(pid)?;
        if stat.kernel_thread {
            return None;
        }
        let status = text(pid, "status", MAX_CMDLINE).unwrap_or_default();
        let uid = number_after(&status, "Uid:").unwrap_or(0);
        let proc_cgroup = text(pid, "cgroup", MAX_CMDLINE * 4).unwrap_or_default();
        let in_tree = path_in(&proc_cgroup, self.hierarchy);
        let limit = in_tree.and_then(|path| self.cgroups.nearest_limit(path));
        let environ = bytes(pid, "environ", MAX_ENVIRON).unwrap_or_default();
        let facts = ProcessFacts {
            task: TaskFacts {
                key: ProcessKey {
                    pid,
                    start_ticks: stat.start_ticks,
                },
                ppid: stat.ppid,
                ns_pid: last_number_after(&status, "NSpid:").unwrap_or(pid),
                uid,
                cgroup: in_tree.and_then(|path| self.cgroups.id(path)).unwrap_or(0),
                comm: stat.comm,
            },
            args: split_args(&bytes(pid, "cmdline", MAX_CMDLINE).unwrap_or_default()),
            exe: link(pid, "exe"),
            cwd: link(pid, "cwd"),
            cgroup_path: telling_path(&proc_cgroup).map(Into::into),
            env: keep_environment(&environ),
            netns: netns_of(&pid.to_string()).unwrap_or(0),
            user: self.users.name(uid),
            memory_limit_bytes: limit.as_ref().map(|&(bytes, _)| bytes),
            memory_limit_cgroup: limit.map(|(_, path)| path.into()),
            from_scan,
        };
        // Everything above was read by pid: it is this process's only if it still is.
        let again = Stat::read(pid)?;
        (again.start_ticks == stat.start_ticks).then_some(facts)
    }
}

/// The process that the thread `tid` belongs to.
pub(super) fn process_of(tid: Pid) -> Option<Pid> {
    number_after(&text(tid, "status", MAX_CMDLINE)?, "Tgid:")
}

/// Inode of the network namespace of `pid` (or `self`).
pub(super) fn netns_of(pid: &str) -> Option<u32> {
    let target = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    target
        .to_str()?
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
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

/// Creation time of a living process, in ticks.
pub(super) fn start_ticks(pid: Pid) -> Option<u64> {
    Stat::read(pid).map(|stat| stat.start_ticks)
}

/// What is used of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: Comm,
    ppid: Pid,
    start_ticks: u64,
    kernel_thread: bool,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&bytes(pid, "stat", MAX_CMDLINE)?)
    }

    /// The name stands in parentheses and may itself hold any byte, parentheses too.
    fn parse(stat: &[u8]) -> Option<Self> {
        /// `PF_KTHREAD`.
        const KERNEL_THREAD: u64 = 0x0020_0000;
        let open = stat.iter().position(|&b| b == b'(')?;
        let close = stat.iter().rposition(|&b| b == b')')?;
        let name = stat.get(open + 1..close)?;
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name[..len]);
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        // Fields from the third on.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let flags: u64 = field(9)?.parse().ok()?;
        Some(Self {
            comm: Comm(comm),
            ppid: field(4)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
            kernel_thread: flags & KERNEL_THREAD != 0,
        })
    }
}

fn bytes(pid: Pid, file: &str, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}"))
        .ok()?
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

fn text(pid: Pid, file: &str, limit: usize) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(pid, file, limit)?).into_owned())
}

fn link(pid: Pid, file: &str) -> Option<Box<str>> {
    let target: PathBuf = std::fs::read_link(format!("/proc/{pid}/{file}")).ok()?;
    let text = target.to_string_lossy();
    Some(text.strip_suffix(" (deleted)").unwrap_or(&text).into())
}

fn number_after(status: &str, label: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn last_number_after(status: &str, label: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

/// Splits at NUL; a process that rewrote its title has one argument, padded with NULs.
fn split_args(cmdline: &[u8]) -> Box<[Box<str>]> {
    let end = cmdline
        .iter()
        .rposition(|&b| b != 0)
        .map_or(0, |last| last + 1);
    if end == 0 {
        return Box::default();
    }
    cmdline[..end]
        .split(|&b| b == 0)
        .map(|arg| String::from_utf8_lossy(arg).into())
        .collect()
}

fn keep_environment(environ: &[u8]) -> Box<[(Box<str>, Box<str>)]> {
    environ
        .split(|&b| b == 0)
        .filter_map(|variable| {
            let equals = variable.iter().position(|&b| b == b'=')?;
            let (name, value) = variable.split_at(equals);
            let name = ENVIRONMENT
                .iter()
                .find(|known| OsStr::new(known).as_bytes() == name)?;
            let value = &value[1..];
            let value = &value[..value.len().min(MAX_VALUE)];
            Some(((*name).into(), String::from_utf8_lossy(value).into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn reader() -> ProcessReader {
        ProcessReader {
            hierarchy: Hierarchy::MemoryV1,
            cgroups: CgroupTree::find(Hierarchy::MemoryV1),
            users: Users::default(),
        }
    }

    #[test]
    fn a_living_process_is_read_whole() {
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .env("SUPERVISOR_PROCESS_NAME", "wörker")
            .env("SECRET", "not kept")
            .current_dir("/usr")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // spawn() may return while the exec still builds the new address space.
        let facts = loop {
            let facts = reader().read(child.id(), false).unwrap();
            if facts.args.len() == 2 {
                break facts;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            facts.args.iter().map(|arg| &**arg).collect::<Vec<_>>(),
            ["/bin/sleep", "60"]
        );
        assert_eq!(facts.task.ppid, std::process::id());
        assert_eq!(facts.task.comm, Comm::new("sleep"));
        assert_eq!(facts.cwd.as_deref(), Some("/usr"));
        assert_eq!(facts.env("SUPERVISOR_PROCESS_NAME"), Some("wörker"));
        assert_eq!(facts.env("SECRET"), None);
        assert_eq!(facts.netns, netns_of("self").unwrap());
        assert_eq!(facts.user.as_deref(), Some("root"));
        assert_eq!(reader().read(child.id(), false), None, "gone");
    }

    #[test]
    fn names_may_hold_anything() {
        let rest = " S 7 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1";
        for name in ["plain", "a b", ") S 1 (", "new\nline", ""] {
            let stat = Stat::parse(format!("12 ({name}){rest}").as_bytes()).unwrap();
            assert_eq!(stat.comm, Comm::new(name));
            assert_eq!((stat.ppid, stat.start_ticks), (7, 4242));
        }
    }

    #[test]
    fn rewritten_titles_are_one_argument() {
        let args = split_args(b"nginx: worker process\0\0\0\0");
        assert_eq!(args.len(), 1);
        assert_eq!(&*args[0], "nginx: worker process");
        assert_eq!(split_args(b"\0\0").len(), 0);
        assert_eq!(
            split_args(b"a\0\0b\0").len(),
            3,
            "an empty argument in between is kept"
        );
    }

    proptest! {
        #[test]
        fn anything_may_stand_in_proc(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
            let _ = split_args(&bytes);
            let _ = keep_environment(&bytes);
        }
    }
}
