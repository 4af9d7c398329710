//! Reading a `struct task_struct`: [`Task`] and [`Actor`] parts of records.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated};
use tracer_common::{
    ABSENT,
    record::{Actor, Task},
};

use crate::{
    kernel_read::Address,
    maps::{DECISIONS, layout},
};

/// `PF_EXITING`: the thread has begun to exit.
const PF_EXITING: u32 = 0x4;
/// Pid namespaces nest at most this deep.
const MAX_PID_NS_LEVEL: u32 = 32;

/// The running task.
#[inline(always)]
pub fn current() -> Address {
    // SAFETY: the helper has no preconditions.
    Address(unsafe { generated::bpf_get_current_task() })
}

/// The running thread: process id in the high half, thread id in the low one.
#[inline(always)]
pub fn current_pid_tgid() -> u64 {
    bpf_get_current_pid_tgid()
}

/// Whether the running thread has begun to exit.
#[inline(always)]
pub fn current_is_exiting() -> bool {
    current().read_at::<u32>(layout!(task_flags)) & PF_EXITING != 0
}

/// The running process.
#[inline(always)]
pub fn current_actor() -> Actor {
    let pid_tgid = bpf_get_current_pid_tgid();
    let task = current();
    Actor {
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        start_ns: start_of(task),
        comm: task.read_at(layout!(task_comm)),
        uid: bpf_get_current_uid_gid() as u32,
        pad: 0,
    }
}

/// Writes the process that `task` is a thread of, without helpers, which some program types may not
/// call, and without using the stack.
///
/// # Safety
///
/// `to` must have room.
#[inline(always)]
pub unsafe fn write_actor(to: *mut Actor, task: Address) {
    // SAFETY: as promised by the caller.
    unsafe {
        task.copy_at(layout!(task_tgid), &raw mut (*to).pid);
        task.copy_at(layout!(task_pid), &raw mut (*to).tid);
        (*to).start_ns = start_of(task);
        task.copy_at(layout!(task_comm), &raw mut (*to).comm);
        task.follow(layout!(task_real_cred))
            .copy_at(layout!(cred_uid), &raw mut (*to).uid);
        (*to).pad = 0;
    }
}

/// Creation time of the process that `task` is a thread of, ns.
#[inline(always)]
pub fn start_of(task: Address) -> u64 {
    task.follow(layout!(task_group_leader))
        .read_at(layout!(task_start_boottime))
}

/// The cgroup of `task` in the hierarchy that userspace chose.
#[inline(always)]
pub fn cgroup_of(task: Address) -> Address {
    let set = task.follow(layout!(task_cgroups));
    if DECISIONS.load().cgroup_v1 == 0 {
        return set.follow(layout!(css_set_dfl_cgrp));
    }
    memory_state_of(task).follow(layout!(css_cgroup))
}

/// The memory controller's state of `task`, which is the first member of its `struct mem_cgroup`.
/// Null on kernels without the controller.
#[inline(always)]
pub fn memory_state_of(task: Address) -> Address {
    let index = layout!(memory_cgrp_id);
    if index == ABSENT {
        return Address::NULL;
    }
    let set = task.follow(layout!(task_cgroups));
    set.at(layout!(css_set_subsys)).follow(index * 8)
}

/// Id of a cgroup.
#[inline(always)]
pub fn cgroup_id(cgroup: Address) -> u64 {
    cgroup
        .follow(layout!(cgroup_kn))
        .read_at(layout!(kernfs_node_id))
}

/// The process that `task` is a thread of.
#[inline(always)]
pub fn task_record(task: Address) -> Task {
    let leader = task.follow(layout!(task_group_leader));
    leader_record(leader, leader.follow(layout!(task_real_parent)))
}

/// The process whose first thread is `leader`, and whose parent is `parent`. Both are passed in, so
/// that nothing is read twice.
#[inline(always)]
pub fn leader_record(leader: Address, parent: Address) -> Task {
    Task {
        pid: leader.read_at(layout!(task_tgid)),
        ppid: parent.read_at(layout!(task_tgid)),
        start_ns: leader.read_at(layout!(task_start_boottime)),
        cgroup: cgroup_id(cgroup_of(leader)),
        uid: leader
            .follow(layout!(task_real_cred))
            .read_at(layout!(cred_uid)),
        ns_pid: ns_pid_of(leader),
        comm: leader.read_at(layout!(task_comm)),
    }
}

/// Process id of `leader` in its own pid namespace.
#[inline(always)]
fn ns_pid_of(leader: Address) -> u32 {
    let pid = leader.follow(layout!(task_thread_pid));
    let level: u32 = pid.read_at(layout!(pid_level));
    if level > MAX_PID_NS_LEVEL {
        return 0;
    }
    pid.at(layout!(pid_numbers))
        .read_at(level * layout!(upid_size))
}
