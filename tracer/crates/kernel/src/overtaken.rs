//! OOM victims that end before their mark is told. The kernel sends SIGKILL first, marks the victim
//! then, and last of all tells of it (`__oom_kill_process`, `mark_oom_victim`): on another
//! processor, and more so on a busy machine, the victim may be gone by that time. Its exit, which may
//! know that it was marked but not by whom and of what, waits a moment for the mark.

use std::time::Duration;

use tracer_model::{Exit, Observation, OomMark, ProcessKey, SIGKILL, SignalSent, Timestamp, What};

/// How much later a mark may come. Everything newer waits as long.
const PATIENCE: Duration = Duration::from_millis(20);

/// Puts marks that came late before their victims' exits. Gives the time of the first exit whose
/// mark may still come.
pub(super) fn reunite(batch: &mut [Observation], now: Timestamp) -> Option<Timestamp> {
    // There are few, and mostly none.
    let marks: Vec<usize> = (0..batch.len())
        .filter(|at| matches!(batch[*at].what, What::OomMarked(_)))
        .collect();
    let mut first: Option<Timestamp> = None;
    for index in 0..batch.len() {
        let at = batch[index].at;
        let What::Exited(exit) = &batch[index].what else {
            continue;
        };
        if !may_be_victim(exit) {
            continue;
        }
        let key = exit.task.key;
        let late = marks.iter().find_map(|mark| match &batch[*mark].what {
            What::OomMarked(marked) if is_of(marked, key) => Some((*mark, marked.trigger)),
            _ => None,
        });
        if let Some((mark, trigger)) = late {
            let before = Timestamp(at.0.saturating_sub(1));
            batch[mark].at = batch[mark].at.min(before);
            if let What::Exited(exit) = &mut batch[index].what {
                exit.oom_marked = true;
                exit.oom_trigger = Some(Box::new(trigger));
            }
        } else if now.since(at) < PATIENCE {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    }
    first
}

/// Whether it is the mark of that process. Some kernels tell the victim's pid only.
fn is_of(mark: &OomMark, key: ProcessKey) -> bool {
    let victim = mark.victim.key;
    victim.pid == key.pid && [0, key.start_ticks].contains(&victim.start_ticks)
}

/// Whether the kernel killed it, or marked it, and had not told why when it ended.
fn may_be_victim(exit: &Exit) -> bool {
    let by_kernel = exit
        .other
        .as_deref()
        .is_some_and(SignalSent::is_kernel_kill);
    let untold = if exit.oom_marked {
        exit.oom_trigger.is_none()
    } else {
        by_kernel
    };
    untold && exit.status.signal() == Some(SIGKILL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_model::{Actor, ExitStatus, SI_KERNEL, TaskFacts};

    const KEY: ProcessKey = ProcessKey {
        pid: 60,
        start_ticks: 5,
    };

    fn task() -> TaskFacts {
        TaskFacts {
            key: KEY,
            ppid: 1,
            ns_pid: 60,
            uid: 0,
            cgroup: 7,
            comm: tracer_model::Comm::new("node"),
        }
    }

    fn exit(at: u64, code: i32) -> Observation {
        let what = What::Exited(Exit {
            task: task(),
            parent: ProcessKey {
                pid: 1,
                start_ticks: 1,
            },
            status: ExitStatus::Signal {
                signal: SIGKILL,
                core_dumped: false,
            },
            peak_bytes: 1,
            oom_marked: false,
            oom_trigger: None,
            stop: None,
            other: Some(Box::new(SignalSent {
                at: Timestamp(at - 1),
                signal: 9,
                code,
                sender: Actor::default(),
            })),
        });
        Observation {
            at: Timestamp(at),
            what,
        }
    }

    fn mark(at: u64) -> Observation {
        let what = What::OomMarked(Box::new(OomMark {
            victim: task(),
            trigger: Actor::default(),
            trigger_cgroup: 7,
            scope: None,
            full_cgroup: None,
            anon_bytes: None,
            file_bytes: None,
        }));
        Observation {
            at: Timestamp(at),
            what,
        }
    }

    #[test]
    fn a_mark_that_comes_late_goes_before_the_exit() {
        let mut batch = [exit(1000, SI_KERNEL), mark(1500)];
        assert_eq!(reunite(&mut batch, Timestamp(2000)), None);
        assert_eq!(batch[1].at, Timestamp(999));
        let What::Exited(exit) = &batch[0].what else {
            panic!("{batch:?}");
        };
        assert!(exit.oom_marked && exit.oom_trigger.is_some());
    }

    #[test]
    fn an_exit_that_was_marked_waits_until_that_is_told() {
        let mut marked = exit(1000, SI_KERNEL);
        if let What::Exited(exit) = &mut marked.what {
            exit.oom_marked = true;
        }
        let mut batch = [marked.clone()];
        let waits = Some(Timestamp(1000));
        assert_eq!(reunite(&mut batch, Timestamp(2000)), waits);
        let mut batch = [marked.clone(), mark(1500)];
        assert_eq!(reunite(&mut batch, Timestamp(2000)), None);
        assert_eq!(batch[1].at, Timestamp(999));
        // The kernel program had told of it before.
        if let What::Exited(exit) = &mut marked.what {
            exit.oom_trigger = Some(Box::default());
        }
        assert_eq!(reunite(&mut [marked], Timestamp(2000)), None);
    }

    #[test]
    fn an_exit_waits_for_its_mark_for_a_moment() {
        let mut batch = [exit(1000, SI_KERNEL)];
        let first = reunite(&mut batch, Timestamp(2000));
        assert_eq!(first, Some(Timestamp(1000)));
        let later = Timestamp(1000).after(PATIENCE);
        assert_eq!(reunite(&mut batch, later), None);
    }

    #[test]
    fn a_kill_by_a_user_waits_for_nothing() {
        let mut batch = [exit(1000, 0)];
        assert_eq!(reunite(&mut batch, Timestamp(1001)), None);
    }
}
