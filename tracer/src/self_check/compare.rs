//! Compares what the hooks read about the child with /proc and with the child's own report. Pure.

use std::fmt::Display;

use tracer_model::{Actor, Endpoint, ExitStatus, Observation, TaskFacts, What};
use tracer_present::doctor::{Agreement, Field};

use super::expected::Expected;

/// SIGTERM.
const TERM: u8 = 15;
/// The kernel counts memory in batches per processor, and /proc was read a moment before the exit.
const PEAK_TOLERANCE_BYTES: u64 = 4 << 20;

/// Compares all fields.
pub(super) fn fields(expected: &Expected, seen: &[Observation]) -> Vec<Field> {
    let mut table = Table {
        expected,
        fields: Vec::new(),
    };
    table.fork(seen);
    table.exec(seen);
    table.listeners(seen);
    table.connects(seen);
    table.cuts(seen);
    table.exit(seen);
    table.fields
}

struct Table<'a> {
    expected: &'a Expected,
    fields: Vec<Field>,
}

impl Table<'_> {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "most values are numbers, and calls read better without references"
    )]
    fn same<T: PartialEq + Display>(
        &mut self,
        event: &'static str,
        name: &'static str,
        kernel: T,
        proc: T,
    ) {
        let agreement = if kernel == proc {
            Agreement::Same
        } else {
            Agreement::Differs {
                kernel: kernel.to_string(),
                proc: proc.to_string(),
            }
        };
        self.push(event, name, agreement);
    }

    fn push(&mut self, event: &'static str, name: &'static str, agreement: Agreement) {
        self.fields.push(Field {
            event,
            name,
            agreement,
        });
    }

    fn unseen(&mut self, event: &'static str) {
        self.push(event, "record", Agreement::Unseen);
    }

    /// Compares all facts about a task except its name, which changes.
    fn task(&mut self, event: &'static str, task: &TaskFacts) {
        let proc = &self.expected.child.task;
        let (ppid, ns_pid, uid, cgroup) = (proc.ppid, proc.ns_pid, proc.uid, proc.cgroup);
        let start = proc.key.start_ticks;
        self.same(event, "start time", task.key.start_ticks, start);
        self.same(event, "parent", task.ppid, ppid);
        self.same(event, "pid in its namespace", task.ns_pid, ns_pid);
        self.same(event, "uid", task.uid, uid);
        // 0: the process's cgroup could not be found in the cgroup file system.
        if cgroup != 0 {
            self.same(event, "cgroup", task.cgroup, cgroup);
        }
    }

    /// Compares the child's facts in a record of something that it did.
    fn actor(&mut self, event: &'static str, actor: &Actor) {
        let proc = &self.expected.child.task;
        let (start, uid, comm) = (proc.key.start_ticks, proc.uid, proc.comm.to_text());
        let pid = proc.key.pid;
        self.same(event, "start time", actor.key.start_ticks, start);
        self.same(event, "thread", actor.tid, pid);
        self.same(event, "uid", actor.uid, uid);
        self.same(event, "name", actor.comm.to_text(), comm);
    }

    fn fork(&mut self, seen: &[Observation]) {
        let found = seen.iter().find_map(|one| match &one.what {
            What::Forked { child, parent } if self.is_child(child) => Some((child, parent)),
            _ => None,
        });
        let Some((child, parent)) = found else {
            return self.unseen("fork");
        };
        self.task("fork", child);
        let key = self.expected.parent.task.key;
        self.same(
            "fork",
            "parent's start time",
            parent.start_ticks,
            key.start_ticks,
        );
    }

    fn exec(&mut self, seen: &[Observation]) {
        let found = seen.iter().find_map(|one| match &one.what {
            What::Executed { task, args } if self.is_child(task) => Some((task, args)),
            _ => None,
        });
        let Some((task, args)) = found else {
            return self.unseen("exec");
        };
        self.task("exec", task);
        let comm = self.expected.first_comm.clone();
        self.same("exec", "name", task.comm.to_text(), comm);
        let proc = self.expected.args.join(" ");
        self.same("exec", "arguments", args.join(" "), proc);
    }

    fn listeners(&mut self, seen: &[Observation]) {
        let key = self.expected.child.task.key;
        for address in &self.expected.listeners {
            let event = of_family(address, "listen", "listen, IPv6");
            let up = seen.iter().find_map(|one| match &one.what {
                What::ListenerUp(up) if up.holders.contains(&key) && up.address == *address => {
                    Some(up)
                }
                _ => None,
            });
            match up {
                None => self.unseen(event),
                Some(up) => {
                    self.push(event, "address", Agreement::Same);
                    self.same(event, "network namespace", up.netns, self.expected.netns());
                }
            }
            let event = of_family(address, "listener down", "listener down, IPv6");
            let down = seen.iter().find_map(|one| match &one.what {
                What::ListenerDown {
                    address: at,
                    by,
                    exiting,
                    ..
                } if at == address => Some((by, *exiting)),
                _ => None,
            });
            match down {
                None => self.unseen(event),
                Some((by, exiting)) => {
                    self.push(event, "address", Agreement::Same);
                    self.actor(event, by);
                    self.same(event, "exiting", exiting, true);
                }
            }
        }
    }

    fn connects(&mut self, seen: &[Observation]) {
        let expected = self.expected;
        let refused = expected.refused.iter().map(|address| {
            let event = of_family(address, "refused connect", "refused connect, IPv6");
            (event, address, libc::ECONNREFUSED)
        });
        let missing = expected.missing.iter();
        let missing = missing.map(|path| ("unix connect", path, libc::ENOTDIR));
        for (event, address, errno) in refused.chain(missing) {
            let found = seen.iter().find_map(|one| match &one.what {
                What::ConnectFailed(failed) if failed.remote == *address => Some(failed),
                _ => None,
            });
            let Some(failed) = found else {
                self.unseen(event);
                continue;
            };
            self.push(event, "address", Agreement::Same);
            self.actor(event, &failed.owner);
            self.same(event, "network namespace", failed.netns, expected.netns());
            // The errno for a path in /proc depends on the kernel.
            if event != "unix connect" {
                self.same(event, "errno", failed.errno, errno.unsigned_abs());
            }
        }
    }

    fn cuts(&mut self, seen: &[Observation]) {
        for (own, other) in &self.expected.connections {
            let event = of_family(own, "cut connection", "cut connection, IPv6");
            let found = seen.iter().find_map(|one| match &one.what {
                What::ConnectionCut {
                    owner,
                    netns,
                    local,
                    remote,
                } if local == own => Some((owner, *netns, remote)),
                _ => None,
            });
            let Some((owner, netns, remote)) = found else {
                self.unseen(event);
                continue;
            };
            self.push(event, "local address", Agreement::Same);
            self.same(event, "remote address", remote, other);
            self.same(event, "network namespace", netns, self.expected.netns());
            self.actor(event, owner);
        }
    }

    fn exit(&mut self, seen: &[Observation]) {
        let found = seen.iter().find_map(|one| match &one.what {
            What::Exited(exit) if self.is_child(&exit.task) => Some(exit),
            _ => None,
        });
        let Some(exit) = found else {
            return self.unseen("exit");
        };
        let event = "exit";
        self.task(event, &exit.task);
        let comm = self.expected.child.task.comm.to_text();
        self.same(event, "name", exit.task.comm.to_text(), comm);
        let parent = &self.expected.parent.task;
        let (pid, start, uid, name) = (
            parent.key.pid,
            parent.key.start_ticks,
            parent.uid,
            parent.comm.to_text(),
        );
        self.same(event, "parent's start time", exit.parent.start_ticks, start);
        let signal = ExitStatus::Signal {
            signal: TERM,
            core_dumped: false,
        };
        self.same(
            event,
            "status",
            format!("{:?}", exit.status),
            format!("{signal:?}"),
        );
        let peak = self.expected.peak_bytes;
        let kernel = exit.peak_bytes;
        let close = kernel.abs_diff(peak) <= PEAK_TOLERANCE_BYTES;
        self.same(
            event,
            "peak memory",
            if close { peak } else { kernel },
            peak,
        );
        self.same(event, "OOM victim", exit.oom_victim, false);
        let Some(sent) = &exit.stop else {
            return self.unseen("signal");
        };
        let event = "signal";
        self.same(event, "number", sent.signal, TERM.into());
        self.same(event, "sender", sent.sender.key.pid, pid);
        self.same(
            event,
            "sender's start time",
            sent.sender.key.start_ticks,
            start,
        );
        self.same(event, "sender's uid", sent.sender.uid, uid);
        self.same(event, "sender's name", sent.sender.comm.to_text(), name);
    }

    fn is_child(&self, task: &TaskFacts) -> bool {
        task.key.pid == self.expected.child.task.key.pid
    }
}

fn of_family(address: &Endpoint, v4: &'static str, v6: &'static str) -> &'static str {
    match address {
        Endpoint::Tcp(address) if address.is_ipv6() => v6,
        _ => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_model::{Comm, Exit, ProcessFacts, ProcessKey, SignalSent, Timestamp};

    fn facts(pid: u32, comm: &str) -> ProcessFacts {
        ProcessFacts {
            task: TaskFacts {
                key: ProcessKey {
                    pid,
                    start_ticks: 100 + u64::from(pid),
                },
                ppid: pid - 1,
                ns_pid: pid,
                uid: 0,
                cgroup: 77,
                comm: Comm::new(comm),
            },
            args: Box::default(),
            exe: None,
            cwd: None,
            cgroup_path: None,
            env: Box::default(),
            netns: 5,
            user: None,
            memory_limit_bytes: None,
            memory_limit_cgroup: None,
        }
    }

    fn expected() -> Expected {
        Expected {
            child: facts(12, "self check"),
            args: vec!["tracer".into()],
            first_comm: "tracer".to_owned(),
            parent: facts(11, "tracer"),
            peak_bytes: 30 << 20,
            listeners: Vec::new(),
            connections: Vec::new(),
            refused: Vec::new(),
            missing: None,
        }
    }

    fn exit(change: impl FnOnce(&mut Exit)) -> Vec<Field> {
        let expected = expected();
        let parent = &expected.parent.task;
        let mut exit = Exit {
            task: expected.child.task,
            parent: parent.key,
            status: ExitStatus::Signal {
                signal: TERM,
                core_dumped: false,
            },
            peak_bytes: 31 << 20,
            oom_victim: false,
            oom_trigger: None,
            stop: Some(Box::new(SignalSent {
                at: Timestamp(1),
                signal: TERM.into(),
                code: 0,
                sender: Actor {
                    key: parent.key,
                    tid: parent.key.pid,
                    comm: parent.comm,
                    uid: parent.uid,
                },
            })),
            other: None,
        };
        change(&mut exit);
        let seen = [Observation {
            at: Timestamp(1),
            what: What::Exited(exit),
        }];
        let mut fields = fields(&expected, &seen);
        fields.retain(|field| matches!(field.event, "exit" | "signal"));
        fields
    }

    fn wrong(fields: &[Field]) -> Vec<(&'static str, &'static str)> {
        fields
            .iter()
            .filter(|field| field.agreement != Agreement::Same)
            .map(|field| (field.event, field.name))
            .collect()
    }

    #[test]
    fn a_record_that_matches_proc_agrees_in_every_field() {
        let fields = exit(|_| {});
        assert_eq!(wrong(&fields), []);
        assert!(fields.len() >= 15, "{fields:?}");
    }

    #[test]
    fn a_field_read_at_a_wrong_offset_is_reported_with_both_values() {
        let fields = exit(|exit| exit.task.uid = 4096);
        assert_eq!(wrong(&fields), [("exit", "uid")]);
        let field = fields.iter().find(|field| field.name == "uid").unwrap();
        let differs = Agreement::Differs {
            kernel: "4096".to_owned(),
            proc: "0".to_owned(),
        };
        assert_eq!(field.agreement, differs);
        let wrong_sender = exit(|exit| exit.parent.start_ticks = 1);
        assert_eq!(wrong(&wrong_sender), [("exit", "parent's start time")]);
        let far_off = exit(|exit| exit.peak_bytes = 0);
        assert_eq!(wrong(&far_off), [("exit", "peak memory")]);
    }

    #[test]
    fn events_without_a_record_are_reported() {
        assert_eq!(
            wrong(&exit(|exit| exit.stop = None)),
            [("signal", "record")]
        );
        let none = fields(&expected(), &[]);
        assert_eq!(
            wrong(&none),
            [("fork", "record"), ("exec", "record"), ("exit", "record")]
        );
    }
}
