//! An address whose listener is told to be back, and which still refuses: the kernel tells of it
//! before it can be found.

use super::*;

/// A worker is killed at 1000 and listens again at 2000; what comes then.
fn after_its_return(rest: &[Observation]) -> Vec<Finding> {
    let mut all = scan();
    all.extend([
        at(1000, exit(60, "node", KILLED, false)),
        at(1001, down(SocketId::Kernel(9))),
        at(1100, refused(1)),
        at(1900, process(61, 1, "node", "api.service")),
        at(2000, up(SocketId::Kernel(10), 61)),
    ]);
    all.extend_from_slice(rest);
    run(&all)
}

/// What the closed incident and each finding of failed connects say: how many, and whether
/// the incident explains them.
fn told(findings: &[Finding]) -> (Option<u64>, Vec<(u64, bool)>) {
    let closed = findings.iter().find_map(|finding| match &finding.body {
        Body::Incident(it) if it.state == IncidentState::Closed => Some(it.connects_failed),
        _ => None,
    });
    let refusals = findings.iter().filter_map(|finding| match &finding.body {
        Body::ConnectFailed(it) => Some((it.count, it.because.is_some())),
        _ => None,
    });
    (closed, refusals.collect())
}

#[test]
fn what_it_refuses_just_then_is_still_of_the_outage() {
    let findings = after_its_return(&[
        at(2150, refused(2)),
        // Each refusal shows that it was not back: the incident waits for the next.
        at(2320, refused(3)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(
        told(&findings),
        (Some(6), vec![(1, true), (2, true), (3, true)])
    );
}

#[test]
fn what_it_refuses_later_is_not() {
    let findings = after_its_return(&[
        at(2201, What::Tick),
        at(2210, refused(2)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(told(&findings), (Some(1), vec![(1, true), (2, false)]));
}

/// A firewall that rejects what comes does not keep an incident open.
#[test]
fn refusals_without_an_end_are_the_outages_for_ten_seconds() {
    let mut rest: Vec<_> = (1..150).map(|n| at(2000 + n * 100, refused(1))).collect();
    rest.push(at(20_000, What::End));
    let findings = after_its_return(&rest);
    let (closed, refusals) = told(&findings);
    assert_eq!(closed, Some(1 + 100));
    let of = |explained| {
        let these = refusals.iter().filter(|(_, because)| *because == explained);
        these.map(|(count, _)| count).sum::<u64>()
    };
    assert_eq!(of(true) + of(false), 150);
}

#[test]
fn who_meets_a_timeout_there_met_something_else() {
    let What::ConnectFailed(mut timeout) = refused(1) else {
        unreachable!()
    };
    timeout.error = ConnectError::Timeout;
    let findings = after_its_return(&[
        at(2150, What::ConnectFailed(timeout)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(told(&findings), (Some(1), vec![(1, true), (1, false)]));
}
