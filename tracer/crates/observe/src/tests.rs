//! The observer against the real /proc.

use tracer_model::TaskFacts;

use super::*;

#[test]
fn a_scan_reports_this_process_after_its_parent() {
    let mut observer = Observer::new(Hierarchy::MemoryV1, true);
    let mut out = Vec::new();
    observer.scan(&mut out);
    let pids: Vec<Pid> = out
        .iter()
        .filter_map(|observation| match &observation.what {
            What::Process(facts) => Some(facts.task.key.pid),
            _ => None,
        })
        .collect();
    let position = |pid: Pid| pids.iter().position(|&other| other == pid);
    let me = position(std::process::id()).unwrap();
    let parent = position(
        rustix::process::getppid()
            .unwrap()
            .as_raw_nonzero()
            .get()
            .cast_unsigned(),
    );
    assert!(parent.unwrap() < me);
    assert!(out.iter().any(|o| matches!(&o.what, What::Cgroup { .. })));
    assert!(out.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

/// Long enough for everything that was delayed.
const LATER: Duration = Duration::from_mins(1);

fn kernel_event(what: What) -> Observation {
    Observation {
        at: clock::now(),
        what,
    }
}

#[test]
fn titles_are_read_again_in_portions() {
    let mut observer = Observer::new(Hierarchy::MemoryV1, false);
    let pid = std::process::id();
    let child = TaskFacts {
        key: ProcessKey {
            pid,
            start_ticks: proc_dir::start_ticks(pid).unwrap(),
        },
        ..Default::default()
    };
    let reused = ProcessKey {
        pid,
        start_ticks: 1,
    };
    let mut out = Vec::new();
    for _ in 0..PORTION {
        let parent = ProcessKey::default();
        observer.enrich(kernel_event(What::Forked { child, parent }), &mut out);
    }
    let child = TaskFacts {
        key: reused,
        ..child
    };
    let parent = ProcessKey::default();
    observer.enrich(kernel_event(What::Forked { child, parent }), &mut out);
    // It executed a program and exited before that was read.
    let executed = What::Executed {
        task: child,
        args: Box::default(),
    };
    observer.enrich(kernel_event(executed), &mut out);
    let facts = |out: &[Observation]| {
        let all = out.iter();
        all.filter(|one| matches!(one.what, What::Process(_)))
            .count()
    };
    assert_eq!((out.len(), facts(&out)), (PORTION + 2, 0), "passed on only");
    let now = clock::now().after(LATER);
    observer.run_due(now, &mut out);
    assert_eq!(facts(&out), PORTION);
    observer.run_due(now, &mut out);
    assert_eq!(facts(&out), PORTION, "a reused pid is not read");
}

#[test]
fn losses_in_a_row_do_not_cause_scans_in_a_row() {
    let mut observer = Observer::new(Hierarchy::MemoryV1, false);
    let mut out = Vec::new();
    observer.resync(&mut out);
    assert!(!out.is_empty());
    out.clear();
    observer.resync(&mut out);
    assert!(out.is_empty(), "delayed");
    observer.run_due(clock::now().after(LATER), &mut out);
    assert!(out.iter().any(|one| matches!(one.what, What::Process(_))));
}
