//! Decodes who did something: the tasks and actors in records.

use tracer_common::record;
use tracer_model::{Actor, Comm, ProcessKey, TaskFacts};

pub(super) fn task(task: &record::Task) -> TaskFacts {
    TaskFacts {
        key: ProcessKey::from_ns(task.pid, task.start_ns),
        ppid: task.ppid,
        ns_pid: task.ns_pid,
        uid: task.uid,
        cgroup: task.cgroup,
        comm: Comm(task.comm),
    }
}

pub(super) fn actor(actor: &record::Actor) -> Actor {
    Actor {
        key: ProcessKey::from_ns(actor.pid, actor.start_ns),
        tid: actor.tid,
        comm: Comm(actor.comm),
        uid: actor.uid,
    }
}
