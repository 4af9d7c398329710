//! Pids that the kernel reuses.

use super::*;

/// Another process with the pid of the scanned worker.
fn reused() -> What {
    let mut child = task(60, 1, "cat");
    child.key.start_ticks = 99;
    What::Forked {
        child,
        parent: key(50),
    }
}

fn deaths(findings: &[Finding]) -> Vec<(Pid, String, &str)> {
    let all = findings.iter().filter_map(|finding| match &finding.body {
        Body::Death(death) => Some(death),
        _ => None,
    });
    all.map(|death| {
        let comm = death.process.comm.clone();
        (death.process.pid, comm, &*death.service.name)
    })
    .collect()
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut all = scan();
    all.push(at(10, exit(60, "node", KILLED, false)));
    all.push(at(11, exit(60, "node", KILLED, false)));
    let once = run(&all)
        .iter()
        .filter(|f| f.body.kind() == Kind::Death)
        .count();
    assert_eq!(once, 1);
    all.push(at(20, reused()));
    let mut analysis = Analysis::new(Rules::none(), Options::default());
    let mut findings = Vec::new();
    for observation in &all {
        analysis.observe(observation, &mut findings);
    }
    let live = analysis.world().processes.by_pid(60).unwrap();
    assert_eq!(live.task.key.start_ticks, 99);
    assert_eq!(&*live.attribution.service.name, "nginx.service");
}

#[test]
fn an_exit_that_arrives_after_its_pid_was_reused_is_still_reported() {
    let mut all = scan();
    // One process is known; of the other, the fork was lost too.
    all.push(at(20, reused()));
    all.push(at(30, exit(60, "node", KILLED, false)));
    let mut unknown = task(60, 1, "worker");
    unknown.key.start_ticks = 50;
    let What::Exited(mut exited) = exit(60, "worker", KILLED, false) else {
        unreachable!()
    };
    exited.task = unknown;
    all.push(at(31, What::Exited(exited)));
    let mut analysis = Analysis::new(Rules::none(), Options::default());
    let mut findings = Vec::new();
    for observation in &all {
        analysis.observe(observation, &mut findings);
    }
    let deaths = deaths(&findings);
    assert_eq!(deaths.len(), 2, "{deaths:?}");
    assert_eq!(deaths[0], (60, "node".to_owned(), "api.service"));
    assert_eq!(deaths[1].1, "worker");
    let live = analysis.world().processes.by_pid(60).unwrap();
    assert_eq!(live.task.key.start_ticks, 99);
    assert!(live.dead.is_none());
}
