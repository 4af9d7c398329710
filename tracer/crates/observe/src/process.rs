//! Reads a process's facts from /proc. Anything may be missing, because the process may disappear while
//! it is read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use tracer_model::{Hierarchy, Pid, ProcessFacts, ProcessKey, TaskFacts};

use super::cgroups::{CgroupTree, path_in, service_path};
use super::proc_dir::{MAX_STATUS, ProcDir, Stat, last_number_after, netns, number_after};
use super::users::Users;

/// Longest command line kept.
const MAX_CMDLINE: u64 = 4 << 10;
/// Longest environment read.
const MAX_ENVIRON: u64 = 128 << 10;
/// Longest list of cgroups read.
const MAX_CGROUP: u64 = 64 << 10;
/// Longest value of an environment variable kept.
const MAX_VALUE: usize = 1 << 10;

/// Most variables kept, in case a process has the same one many times.
const MAX_VARIABLES: usize = 64;

/// The environment variables that are kept, because they name a service or a limit.
const ENVIRONMENT: [&str; 17] = [
    "SUPERVISOR_ENABLED",
    "SUPERVISOR_PROCESS_NAME",
    "SUPERVISOR_GROUP_NAME",
    "pm_id",
    "name",
    "pm_exec_path",
    "PM2_HOME",
    "NODE_APP_INSTANCE",
    "namespace",
    "exec_mode",
    "GUNICORN_CMD_ARGS",
    "PORT",
    "NODE_OPTIONS",
    "INVOCATION_ID",
    "PHP_FPM_POOL",
    "KUBERNETES_SERVICE_HOST",
    "HOSTNAME",
];

/// Reads processes, and keeps what that needs besides the pid.
#[derive(Debug)]
pub(super) struct ProcessReader {
    pub(super) hierarchy: Hierarchy,
    pub(super) cgroups: CgroupTree,
    pub(super) users: Users,
    /// A buffer that is reused.
    pub(super) scratch: Vec<u8>,
}

impl ProcessReader {
    /// The facts of a process, as many as could be read. `None` if it is a kernel thread, is exiting, or
    /// has exited (reaped or not). The exit of an exiting process may have been reported already, and
    /// most of what identifies it is gone.
    pub(super) fn read(&mut self, pid: Pid) -> Option<ProcessFacts> {
        let process = ProcDir::open(pid)?;
        let stat = process.stat(&mut self.scratch)?;
        if process.is_exiting(&stat, &mut self.scratch) {
            return None;
        }
        self.facts(pid, &process, &stat)
    }

    /// Like [`Self::read`], but reads exiting processes, too.
    pub(super) fn read_victim(&mut self, pid: Pid) -> Option<ProcessFacts> {
        let process = ProcDir::open(pid)?;
        let stat = process.stat(&mut self.scratch)?;
        self.facts(pid, &process, &stat)
    }

    fn facts(&mut self, pid: Pid, process: &ProcDir, stat: &Stat) -> Option<ProcessFacts> {
        if stat.kernel_thread || stat.exited {
            return None;
        }
        let read = &mut self.scratch;
        let status = String::from_utf8_lossy(process.read("status", MAX_STATUS, read)?);
        let uid = number_after(&status, "Uid:")?;
        let ns_pid = last_number_after(&status, "NSpid:").unwrap_or(pid);
        let environ = process.read("environ", MAX_ENVIRON, read);
        let env = environ.map(keep_environment).unwrap_or_default();
        let cmdline = process.read("cmdline", MAX_CMDLINE, read);
        let args = cmdline.map(split_args).unwrap_or_default();
        let proc_cgroup = process.read("cgroup", MAX_CGROUP, read).unwrap_or_default();
        let proc_cgroup = String::from_utf8_lossy(proc_cgroup);
        let in_tree = path_in(&proc_cgroup, self.hierarchy);
        let limit = in_tree.and_then(|path| self.cgroups.nearest_limit(path));
        Some(ProcessFacts {
            task: TaskFacts {
                key: ProcessKey {
                    pid,
                    start_ticks: stat.start_ticks,
                },
                ppid: stat.ppid,
                ns_pid,
                uid,
                cgroup: in_tree.and_then(|path| self.cgroups.id(path)).unwrap_or(0),
                comm: stat.comm,
            },
            args,
            exe: process.link("exe"),
            cwd: process.link("cwd"),
            cgroup_path: service_path(&proc_cgroup).map(Into::into),
            env,
            netns: process
                .link("ns/net")
                .and_then(|target| netns(&target))
                .unwrap_or(0),
            user: self.users.name(uid),
            memory_limit_bytes: limit.as_ref().map(|&(bytes, _)| bytes),
            memory_limit_cgroup: limit.map(|(_, path)| path.into()),
        })
    }
}

/// Reads the facts of one process, without a session's [`ProcessReader`].
pub fn process_facts(pid: Pid, hierarchy: Hierarchy) -> Option<ProcessFacts> {
    let mut reader = ProcessReader {
        hierarchy,
        cgroups: CgroupTree::find(hierarchy),
        users: Users::default(),
        scratch: Vec::new(),
    };
    reader.read(pid)
}

/// Splits at NULs. A process that rewrote its title has one argument, padded with NULs.
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
    let mut kept: Vec<(Box<str>, Box<str>)> = environ
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
        .take(MAX_VARIABLES)
        .collect();
    // Common words that are meaningful only if pm2 set them.
    if !kept.iter().any(|(name, _)| &**name == "pm_id") {
        kept.retain(|(name, _)| !matches!(&**name, "name" | "namespace" | "exec_mode"));
        if let Some(worker) = ClusterWorker::find(environ) {
            let name = worker.name.as_bytes();
            let name = String::from_utf8_lossy(&name[..name.len().min(MAX_VALUE)]);
            kept.push(("pm_id".into(), worker.pm_id.to_string().into()));
            kept.push(("name".into(), name.into()));
        }
    }
    kept.into()
}

/// What pm2 passes to a process in cluster mode: one variable with JSON, instead of the variables that
/// it sets in fork mode. The rest of the JSON, which holds the app's whole environment, is not kept.
#[derive(serde::Deserialize)]
struct ClusterWorker {
    name: String,
    pm_id: u32,
}

impl ClusterWorker {
    fn find(environ: &[u8]) -> Option<Self> {
        let json = environ
            .split(|&b| b == 0)
            .find_map(|variable| variable.strip_prefix(b"pm2_env="))?;
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;
    use crate::proc_dir::{is_there, netns_of, start_ticks};
    use crate::slow_exit::SlowExit;
    use tracer_model::Comm;

    fn reader() -> ProcessReader {
        ProcessReader {
            hierarchy: Hierarchy::MemoryV1,
            cgroups: CgroupTree::find(Hierarchy::MemoryV1),
            users: Users::default(),
            scratch: Vec::new(),
        }
    }

    #[test]
    fn all_facts_of_a_running_process_are_read() {
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .env("SUPERVISOR_PROCESS_NAME", "wörker")
            .env("SECRET", "not kept")
            .current_dir("/usr")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // spawn() may return while exec is still building the new address space.
        let facts = loop {
            let facts = reader().read(child.id()).unwrap();
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
        assert_eq!(reader().read(child.id()), None, "gone");
    }

    #[test]
    fn a_program_with_an_odd_name_in_a_deleted_directory_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("a) S 1\n(b");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let gone = dir.path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let mut child = Command::new(&program)
            .arg("60")
            .current_dir(&gone)
            .spawn()
            .unwrap();
        std::fs::remove_file(&program).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        let facts = loop {
            let facts = reader().read(child.id()).unwrap();
            if facts.args.len() == 2 {
                break facts;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(facts.task.comm, Comm::new("a) S 1\n(b"));
        assert_eq!(facts.task.ppid, std::process::id());
        assert_eq!(facts.exe.as_deref(), program.to_str());
        assert_eq!(facts.cwd.as_deref(), gone.to_str());
    }

    #[test]
    fn a_zombie_is_not_read() {
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        assert!(start_ticks(pid).is_some());
        drop(child.stdin.take());
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(
            WaitId::Pid(rustix::process::Pid::from_child(&child)),
            exited,
        )
        .unwrap();
        assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());
        assert!(reader().read(pid).is_none());
        assert_eq!(start_ticks(pid), None);
        child.wait().unwrap();
    }

    #[test]
    fn an_exiting_process_is_not_read() {
        let slow = SlowExit::start();
        let key = slow.key;
        assert_eq!(reader().read(key.pid), None);
        assert!(is_there(key), "its exit may not have been reported yet");
        let victim = reader().read_victim(key.pid);
        assert_eq!(victim.unwrap().task.key, key);
        slow.finish();
        assert!(!is_there(key));
    }

    #[test]
    fn a_process_whose_first_thread_exited_is_still_running() {
        let script = "import ctypes, threading, time\n\
            threading.Thread(target=lambda: time.sleep(60)).start()\n\
            print('up', flush=True)\n\
            ctypes.CDLL(None).pthread_exit(None)";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let state = || {
            let process = ProcDir::open(child.id()).unwrap();
            process.stat(&mut Vec::new()).unwrap()
        };
        while !state().exiting {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let (first, seen) = (state(), reader().read(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((first.threads, first.exited), (2, false));
        assert_eq!(seen.unwrap().task.comm, Comm::new("python3"));
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

    #[test]
    fn the_common_words_of_pm2_are_kept_only_with_its_id() {
        let kept = |environ: &[u8]| {
            let kept = keep_environment(environ);
            kept.iter()
                .map(|(name, _)| name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(b"name=api\0pm_id=3\0HOME=/\0"), ["name", "pm_id"]);
        assert_eq!(kept(b"name=me\0namespace=x\0PORT=80\0=\0x"), ["PORT"]);
    }

    #[test]
    fn an_app_in_pm2s_cluster_mode_is_identified_by_json() {
        let environ = b"name=me\0pm2_env={\"name\":\"shop api\",\"namespace\":\"default\",\
            \"env\":{\"name\":\"other\",\"TOKEN\":\"secret\"},\"pm_id\":3}\0HOME=/\0";
        let kept = keep_environment(environ);
        let kept: Vec<_> = kept
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(kept, [("pm_id", "3"), ("name", "shop api")]);
        for broken in [
            "",
            "{",
            "[]",
            "{\"name\":\"x\"}",
            "{\"name\":1,\"pm_id\":1}",
        ] {
            let environ = format!("name=me\0pm2_env={broken}\0");
            assert_eq!(keep_environment(environ.as_bytes()).len(), 0, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_content_of_proc_is_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = split_args(&bytes);
            let _ = keep_environment(&bytes);
        }
    }
}
