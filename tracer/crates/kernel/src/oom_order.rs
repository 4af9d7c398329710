//! Puts OOM victims before their exits. The kernel first sends SIGKILL, then marks the victim, and
//! runs the hook last (`__oom_kill_process`, `mark_oom_victim`): on another processor, above all on a
//! busy machine, the victim may have exited by then. Such an exit may say that it was an OOM
//! victim's, but not whose memory request triggered the kill, so it waits a moment for the victim.

use std::time::Duration;

use tracer_model::{
    Exit, Observation, OomVictim, ProcessKey, SIGKILL, SignalSent, Timestamp, What,
};

/// How much later than its exit a victim may be observed. Everything newer waits as long.
const PATIENCE: Duration = Duration::from_millis(20);

/// Puts victims that were observed late before their exits. Returns the time of the first exit whose
/// victim may still be observed.
pub(super) fn restore(batch: &mut [Observation], now: Timestamp) -> Option<Timestamp> {
    // Mostly there are none.
    let victims: Vec<usize> = (0..batch.len())
        .filter(|at| matches!(batch[*at].what, What::OomVictim(_)))
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
        let late = victims.iter().find_map(|at| match &batch[*at].what {
            What::OomVictim(victim) if is_of(victim, key) => Some((*at, victim.trigger)),
            _ => None,
        });
        if let Some((victim, trigger)) = late {
            let before = Timestamp(at.0.saturating_sub(1));
            batch[victim].at = batch[victim].at.min(before);
            if let What::Exited(exit) = &mut batch[index].what {
                exit.oom_victim = true;
                exit.oom_trigger = Some(Box::new(trigger));
            }
        } else if now.since(at) < PATIENCE {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    }
    first
}

/// Whether the victim is that process. On some kernels only its pid is known.
fn is_of(victim: &OomVictim, key: ProcessKey) -> bool {
    let victim = victim.task.key;
    victim.pid == key.pid && [0, key.start_ticks].contains(&victim.start_ticks)
}

/// Whether the process may be an OOM victim that has not been observed.
fn may_be_victim(exit: &Exit) -> bool {
    let by_kernel = exit
        .other
        .as_deref()
        .is_some_and(SignalSent::is_kernel_kill);
    let unexplained = if exit.oom_victim {
        exit.oom_trigger.is_none()
    } else {
        by_kernel
    };
    unexplained && exit.status.signal() == Some(SIGKILL)
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
            oom_victim: false,
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

    fn victim(at: u64) -> Observation {
        let what = What::OomVictim(Box::new(OomVictim {
            task: task(),
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
    fn a_victim_that_is_observed_late_goes_before_its_exit() {
        let mut batch = [exit(1000, SI_KERNEL), victim(1500)];
        assert_eq!(restore(&mut batch, Timestamp(2000)), None);
        assert_eq!(batch[1].at, Timestamp(999));
        let What::Exited(exit) = &batch[0].what else {
            panic!("{batch:?}");
        };
        assert!(exit.oom_victim && exit.oom_trigger.is_some());
    }

    #[test]
    fn the_exit_of_an_oom_victim_waits_until_the_victim_is_observed() {
        let mut of_victim = exit(1000, SI_KERNEL);
        if let What::Exited(exit) = &mut of_victim.what {
            exit.oom_victim = true;
        }
        let mut batch = [of_victim.clone()];
        let waits = Some(Timestamp(1000));
        assert_eq!(restore(&mut batch, Timestamp(2000)), waits);
        let mut batch = [of_victim.clone(), victim(1500)];
        assert_eq!(restore(&mut batch, Timestamp(2000)), None);
        assert_eq!(batch[1].at, Timestamp(999));
        // The kernel program had observed the victim before.
        if let What::Exited(exit) = &mut of_victim.what {
            exit.oom_trigger = Some(Box::default());
        }
        assert_eq!(restore(&mut [of_victim], Timestamp(2000)), None);
    }

    #[test]
    fn an_exit_waits_a_moment_for_its_victim() {
        let mut batch = [exit(1000, SI_KERNEL)];
        let first = restore(&mut batch, Timestamp(2000));
        assert_eq!(first, Some(Timestamp(1000)));
        let later = Timestamp(1000).after(PATIENCE);
        assert_eq!(restore(&mut batch, later), None);
    }

    #[test]
    fn the_exit_after_a_signal_from_a_process_waits_for_nothing() {
        let mut batch = [exit(1000, 0)];
        assert_eq!(restore(&mut batch, Timestamp(1001)), None);
    }
}
