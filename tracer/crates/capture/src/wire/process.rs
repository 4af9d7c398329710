//! Processes: their identity, forks, execs and exits, and what /proc shows about them.

use tracer_model::{
    self as model, Comm, Exit, ExitStatus, ProcessFacts, ProcessKey, SignalSent, TaskFacts,
    Timestamp,
};

use super::message::{
    Unknown, Wire, all, boxed, byte, list, optional, required, some, text, texts,
};

/// Encodes a thread's name up to its last byte that is not NUL.
pub(super) fn comm(comm: Comm) -> Vec<u8> {
    let end = comm.0.iter().rposition(|&byte| byte != 0);
    comm.0[..end.map_or(0, |last| last + 1)].to_vec()
}

/// Decodes a thread's name.
pub(super) fn read_comm(bytes: &[u8]) -> Result<Comm, Unknown> {
    let mut comm = Comm::default();
    comm.0
        .get_mut(..bytes.len())
        .ok_or(Unknown("comm"))?
        .copy_from_slice(bytes);
    Ok(comm)
}

/// [`ProcessKey`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Key {
    #[prost(uint32, tag = "1")]
    pid: u32,
    #[prost(uint64, tag = "2")]
    start_ticks: u64,
}

impl Wire for Key {
    type Model = ProcessKey;

    fn of(model: &ProcessKey) -> Self {
        let ProcessKey { pid, start_ticks } = *model;
        Self { pid, start_ticks }
    }

    fn model(self) -> Result<ProcessKey, Unknown> {
        let Self { pid, start_ticks } = self;
        Ok(ProcessKey { pid, start_ticks })
    }
}

/// [`TaskFacts`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Task {
    #[prost(uint32, tag = "1")]
    pid: u32,
    #[prost(uint64, tag = "2")]
    start_ticks: u64,
    #[prost(uint32, tag = "3")]
    ppid: u32,
    #[prost(uint32, tag = "4")]
    ns_pid: u32,
    #[prost(uint32, tag = "5")]
    uid: u32,
    #[prost(uint64, tag = "6")]
    cgroup: u64,
    #[prost(bytes = "vec", tag = "7")]
    comm: Vec<u8>,
}

impl Wire for Task {
    type Model = TaskFacts;

    fn of(model: &TaskFacts) -> Self {
        let TaskFacts {
            key: ProcessKey { pid, start_ticks },
            ppid,
            ns_pid,
            uid,
            cgroup,
            comm: name,
        } = *model;
        Self {
            pid,
            start_ticks,
            ppid,
            ns_pid,
            uid,
            cgroup,
            comm: comm(name),
        }
    }

    fn model(self) -> Result<TaskFacts, Unknown> {
        Ok(TaskFacts {
            key: ProcessKey {
                pid: self.pid,
                start_ticks: self.start_ticks,
            },
            ppid: self.ppid,
            ns_pid: self.ns_pid,
            uid: self.uid,
            cgroup: self.cgroup,
            comm: read_comm(&self.comm)?,
        })
    }
}

/// [`model::Actor`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Actor {
    #[prost(uint32, tag = "1")]
    pid: u32,
    #[prost(uint64, tag = "2")]
    start_ticks: u64,
    #[prost(uint32, tag = "3")]
    tid: u32,
    #[prost(bytes = "vec", tag = "4")]
    comm: Vec<u8>,
    #[prost(uint32, tag = "5")]
    uid: u32,
}

impl Wire for Actor {
    type Model = model::Actor;

    fn of(model: &model::Actor) -> Self {
        let model::Actor {
            key: ProcessKey { pid, start_ticks },
            tid,
            comm: name,
            uid,
        } = *model;
        Self {
            pid,
            start_ticks,
            tid,
            comm: comm(name),
            uid,
        }
    }

    fn model(self) -> Result<model::Actor, Unknown> {
        Ok(model::Actor {
            key: ProcessKey {
                pid: self.pid,
                start_ticks: self.start_ticks,
            },
            tid: self.tid,
            comm: read_comm(&self.comm)?,
            uid: self.uid,
        })
    }
}

/// One environment variable.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Variable {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl Wire for Variable {
    type Model = (Box<str>, Box<str>);

    fn of((name, value): &Self::Model) -> Self {
        Self {
            name: name.to_string(),
            value: value.to_string(),
        }
    }

    fn model(self) -> Result<Self::Model, Unknown> {
        Ok((self.name.into(), self.value.into()))
    }
}

/// [`ProcessFacts`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Process {
    #[prost(message, optional, tag = "1")]
    task: Option<Task>,
    #[prost(string, repeated, tag = "2")]
    args: Vec<String>,
    #[prost(string, optional, tag = "3")]
    exe: Option<String>,
    #[prost(string, optional, tag = "4")]
    cwd: Option<String>,
    #[prost(string, optional, tag = "5")]
    cgroup_path: Option<String>,
    #[prost(message, repeated, tag = "6")]
    env: Vec<Variable>,
    #[prost(uint32, tag = "7")]
    netns: u32,
    #[prost(string, optional, tag = "8")]
    user: Option<String>,
    #[prost(uint64, optional, tag = "9")]
    memory_limit_bytes: Option<u64>,
    #[prost(string, optional, tag = "10")]
    memory_limit_cgroup: Option<String>,
}

impl Wire for Process {
    type Model = ProcessFacts;

    fn of(model: &ProcessFacts) -> Self {
        let ProcessFacts {
            task,
            args,
            exe,
            cwd,
            cgroup_path,
            env,
            netns,
            user,
            memory_limit_bytes,
            memory_limit_cgroup,
        } = model;
        Self {
            task: some(task),
            args: texts(args),
            exe: text(exe.as_deref()),
            cwd: text(cwd.as_deref()),
            cgroup_path: text(cgroup_path.as_deref()),
            env: all(env),
            netns: *netns,
            user: text(user.as_deref()),
            memory_limit_bytes: *memory_limit_bytes,
            memory_limit_cgroup: text(memory_limit_cgroup.as_deref()),
        }
    }

    fn model(self) -> Result<ProcessFacts, Unknown> {
        Ok(ProcessFacts {
            task: required(self.task)?,
            args: boxed(self.args),
            exe: self.exe.map(Into::into),
            cwd: self.cwd.map(Into::into),
            cgroup_path: self.cgroup_path.map(Into::into),
            env: list(self.env)?,
            netns: self.netns,
            user: self.user.map(Into::into),
            memory_limit_bytes: self.memory_limit_bytes,
            memory_limit_cgroup: self.memory_limit_cgroup.map(Into::into),
        })
    }
}

/// [`model::What::Forked`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Forked {
    #[prost(message, optional, tag = "1")]
    child: Option<Task>,
    #[prost(message, optional, tag = "2")]
    parent: Option<Key>,
}

impl Forked {
    pub(super) fn of(child: &TaskFacts, parent: &ProcessKey) -> Self {
        Self {
            child: some(child),
            parent: some(parent),
        }
    }

    pub(super) fn model(self) -> Result<model::What, Unknown> {
        Ok(model::What::Forked {
            child: required(self.child)?,
            parent: required(self.parent)?,
        })
    }
}

/// [`model::What::Executed`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Executed {
    #[prost(message, optional, tag = "1")]
    task: Option<Task>,
    #[prost(string, repeated, tag = "2")]
    args: Vec<String>,
}

impl Executed {
    pub(super) fn of(task: &TaskFacts, args: &[Box<str>]) -> Self {
        Self {
            task: some(task),
            args: texts(args),
        }
    }

    pub(super) fn model(self) -> Result<model::What, Unknown> {
        Ok(model::What::Executed {
            task: required(self.task)?,
            args: boxed(self.args),
        })
    }
}

/// [`SignalSent`].
#[derive(Clone, PartialEq, prost::Message)]
#[expect(
    clippy::struct_field_names,
    reason = "the field is named as in the model"
)]
pub(super) struct Signal {
    #[prost(uint64, tag = "1")]
    at_ns: u64,
    #[prost(uint32, tag = "2")]
    signal: u32,
    #[prost(sint32, tag = "3")]
    code: i32,
    #[prost(message, optional, tag = "4")]
    sender: Option<Actor>,
}

impl Wire for Signal {
    type Model = SignalSent;

    fn of(model: &SignalSent) -> Self {
        let SignalSent {
            at,
            signal,
            code,
            sender,
        } = model;
        Self {
            at_ns: at.0,
            signal: *signal,
            code: *code,
            sender: some(sender),
        }
    }

    fn model(self) -> Result<SignalSent, Unknown> {
        Ok(SignalSent {
            at: Timestamp(self.at_ns),
            signal: self.signal,
            code: self.code,
            sender: required(self.sender)?,
        })
    }
}

/// [`Exit`]; the status is `exit_code` or `signal`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Exited {
    #[prost(message, optional, tag = "1")]
    task: Option<Task>,
    #[prost(message, optional, tag = "2")]
    parent: Option<Key>,
    #[prost(uint32, tag = "3")]
    exit_code: u32,
    #[prost(uint32, optional, tag = "4")]
    signal: Option<u32>,
    #[prost(bool, tag = "5")]
    core_dumped: bool,
    #[prost(uint64, tag = "6")]
    peak_bytes: u64,
    #[prost(bool, tag = "7")]
    oom_victim: bool,
    #[prost(message, optional, tag = "8")]
    oom_trigger: Option<Actor>,
    #[prost(message, optional, tag = "9")]
    stop: Option<Signal>,
    #[prost(message, optional, tag = "10")]
    other: Option<Signal>,
}

impl Wire for Exited {
    type Model = Exit;

    fn of(model: &Exit) -> Self {
        let Exit {
            task,
            parent,
            status,
            peak_bytes,
            oom_victim,
            oom_trigger,
            stop,
            other,
        } = model;
        let (exit_code, signal, core_dumped) = match *status {
            ExitStatus::Code(code) => (code.into(), None, false),
            ExitStatus::Signal {
                signal,
                core_dumped,
            } => (0, Some(signal.into()), core_dumped),
        };
        Self {
            task: some(task),
            parent: some(parent),
            exit_code,
            signal,
            core_dumped,
            peak_bytes: *peak_bytes,
            oom_victim: *oom_victim,
            oom_trigger: oom_trigger.as_deref().map(Wire::of),
            stop: stop.as_deref().map(Wire::of),
            other: other.as_deref().map(Wire::of),
        }
    }

    fn model(self) -> Result<Exit, Unknown> {
        let status = match self.signal {
            None => ExitStatus::Code(byte("exit_code", self.exit_code)?),
            Some(signal) => ExitStatus::Signal {
                signal: byte("signal", signal)?,
                core_dumped: self.core_dumped,
            },
        };
        Ok(Exit {
            task: required(self.task)?,
            parent: required(self.parent)?,
            status,
            peak_bytes: self.peak_bytes,
            oom_victim: self.oom_victim,
            oom_trigger: optional(self.oom_trigger)?.map(Box::new),
            stop: optional(self.stop)?.map(Box::new),
            other: optional(self.other)?.map(Box::new),
        })
    }
}
