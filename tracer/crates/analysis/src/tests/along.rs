//! Processes killed along with an OOM victim.

use super::*;

fn victim(pid: Pid, full: bool) -> What {
    What::OomVictim(Box::new(OomVictim {
        task: task(pid, 1, "node"),
        trigger: actor(pid, "node"),
        trigger_cgroup: 7,
        scope: None,
        full_cgroup: full.then_some(FullCgroup {
            id: 7,
            limit_bytes: 2 << 30,
            usage_bytes: 2 << 30,
        }),
        anon_bytes: None,
        file_bytes: None,
    }))
}

fn causes(findings: &[Finding], kind: Kind) -> Vec<(Pid, Cause, bool)> {
    let deaths = findings
        .iter()
        .filter(|finding| finding.body.kind() == kind);
    deaths
        .filter_map(|finding| match &finding.body {
            Body::Oom(death) | Body::Death(death) => {
                let along = death.why.contains("along with another victim");
                Some((death.process.pid, death.cause, along))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_victim_chosen_while_it_exits_shares_the_scope_of_the_first_victim() {
    let mut all = scan();
    all.push(at(500, process(61, 1, "node", "api.service")));
    all.push(at(1000, victim(60, true)));
    // It shares the victim's memory, got the same SIGKILL, and allocated more while it exited.
    all.push(at(1001, victim(61, false)));
    all.push(at(1002, exit(61, "node", KILLED, true)));
    all.push(at(1003, exit(60, "node", KILLED, true)));
    let findings = run(&all);
    let both = [(60, Cause::OomCgroup, false), (61, Cause::OomCgroup, true)];
    assert_eq!(causes(&findings, Kind::Oom), both);
    assert_eq!(causes(&findings, Kind::Death), [both[1], both[0]]);
}

/// Seen once on 7.2, where only the kernel log has the scope.
#[test]
fn an_oom_kill_without_a_scope_is_of_the_limit_that_the_process_had_reached() {
    let limit = 2u64 << 30;
    for (peak, cause) in [
        (limit + (1 << 20), Cause::OomCgroup),
        (limit - (32 << 20), Cause::OomCgroup),
        (limit - (128 << 20), Cause::OomGlobal),
    ] {
        let What::Process(mut facts) = process(61, 1, "node", "api.service") else {
            panic!("no process");
        };
        facts.memory_limit_bytes = Some(limit);
        facts.memory_limit_cgroup = Some("/system.slice".into());
        let What::Exited(mut died) = exit(61, "node", KILLED, true) else {
            panic!("no exit");
        };
        died.peak_bytes = peak;
        let mut all = scan();
        all.push(at(500, What::Process(facts)));
        all.push(at(1000, victim(61, false)));
        all.push(at(1003, What::Exited(died)));
        let findings = run(&all);
        let deaths = causes(&findings, Kind::Death);
        assert_eq!(deaths, [(61, cause, false)], "{peak}");
        let named = findings.iter().any(|finding| match &finding.body {
            Body::Death(death) => death.why.contains("2.0 GiB of /system.slice reached"),
            _ => false,
        });
        assert_eq!(named, cause == Cause::OomCgroup, "{findings:?}");
    }
}

#[test]
fn an_oom_kill_without_a_scope_and_without_another_victim_has_an_unknown_scope() {
    let mut all = scan();
    all.push(at(1000, victim(60, false)));
    all.push(at(1003, exit(60, "node", KILLED, true)));
    let findings = run(&all);
    let alone = [(60, Cause::OomGlobal, false)];
    assert_eq!(causes(&findings, Kind::Oom), alone);
    assert_eq!(causes(&findings, Kind::Death), alone);
}
