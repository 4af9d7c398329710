//! Decodes the records of processes: forks, execs, exits, OOM victims, and new cgroups.

use tracer_common::record::{
    self, CgroupRecord, ExecRecord, ExitRecord, ForkRecord, OomVictimRecord, SignaledExitRecord,
};
use tracer_model::{
    Exit, ExitStatus, FullCgroup, OomScope, OomVictim, ProcessKey, SignalSent, Timestamp, What,
};

use super::party::{actor, task};

pub(super) fn exit(record: &ExitRecord, page_bytes: u64) -> Exit {
    Exit {
        task: task(&record.task),
        parent: ProcessKey::from_ns(record.task.ppid, record.parent_start_ns),
        status: ExitStatus::from_wait_status(record.status),
        peak_bytes: record.peak_rss_pages.saturating_mul(page_bytes),
        oom_victim: record.oom_victim != 0,
        oom_trigger: None,
        stop: None,
        other: None,
    }
}

pub(super) fn signaled_exit(record: &SignaledExitRecord, page_bytes: u64) -> What {
    What::Exited(Exit {
        oom_trigger: (record.oom_at_ns != 0).then(|| Box::new(actor(&record.trigger))),
        stop: signal(&record.stop),
        other: signal(&record.other),
        ..exit(&record.exit, page_bytes)
    })
}

fn signal(signal: &record::Signal) -> Option<Box<SignalSent>> {
    (signal.at_ns != 0).then(|| {
        Box::new(SignalSent {
            at: Timestamp(signal.at_ns),
            signal: signal.signal,
            code: signal.code,
            sender: actor(&signal.sender),
        })
    })
}

pub(super) fn oom_victim(record: &OomVictimRecord, page_bytes: u64) -> What {
    /// `CONSTRAINT_MEMCG`.
    const MEMCG: u32 = 3;
    let bytes = |pages: u64| pages.saturating_mul(page_bytes);
    let scope = &record.scope;
    let memory = &record.memory;
    let has_memory = memory.anon_pages != 0 || memory.file_pages != 0;
    What::OomVictim(Box::new(OomVictim {
        task: task(&record.victim),
        trigger: actor(&record.trigger),
        trigger_cgroup: record.trigger_cgroup,
        scope: (scope.known != 0).then(|| {
            if scope.constraint == MEMCG {
                OomScope::Cgroup {
                    id: scope.cgroup,
                    path: None,
                    limit_bytes: Some(bytes(scope.total_pages)),
                }
            } else {
                OomScope::Global
            }
        }),
        full_cgroup: (memory.full_cgroup != 0).then(|| FullCgroup {
            id: memory.full_cgroup,
            limit_bytes: bytes(memory.full_limit_pages),
            usage_bytes: bytes(memory.full_usage_pages),
        }),
        anon_bytes: has_memory.then(|| bytes(memory.anon_pages)),
        file_bytes: has_memory.then(|| bytes(memory.file_pages)),
    }))
}

pub(super) fn fork(record: &ForkRecord) -> What {
    What::Forked {
        child: task(&record.child),
        parent: ProcessKey::from_ns(record.child.ppid, record.parent_start_ns),
    }
}

pub(super) fn exec(record: &ExecRecord) -> What {
    let used = (record.args_len as usize).min(record.args.len());
    let args = &record.args[..used];
    let args = args.strip_suffix(b"\0").unwrap_or(args);
    What::Executed {
        task: task(&record.task),
        args: if args.is_empty() {
            Box::default()
        } else {
            args.split(|&byte| byte == 0)
                .map(|arg| String::from_utf8_lossy(arg).into())
                .collect()
        },
    }
}

pub(super) fn cgroup(record: &CgroupRecord) -> What {
    let used = (record.path_len as usize).min(record.path.len());
    What::Cgroup {
        id: record.id,
        path: String::from_utf8_lossy(&record.path[..used]).into(),
        memory_limit_bytes: None,
    }
}
