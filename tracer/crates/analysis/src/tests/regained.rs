//! An address whose listener is up again but still refuses connections: the hook sees a listener
//! before connects can find it.

use super::*;

/// A worker is killed at 1000, and its successor listens at 2000; then comes `rest`.
fn after_recovery(rest: &[Observation]) -> Vec<Finding> {
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

/// Failed connects: of the closed incident, and of each finding with whether the incident explains
/// it.
fn failures(findings: &[Finding]) -> (Option<u64>, Vec<(u64, bool)>) {
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
fn refusals_right_after_the_listener_is_up_belong_to_the_outage() {
    let findings = after_recovery(&[
        at(2150, refused(2)),
        // Each refusal shows that it had not recovered: the incident waits for the next.
        at(2320, refused(3)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(
        failures(&findings),
        (Some(6), vec![(1, true), (2, true), (3, true)])
    );
}

#[test]
fn later_refusals_do_not_belong_to_the_outage() {
    let findings = after_recovery(&[
        at(2201, What::Tick),
        at(2210, refused(2)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(failures(&findings), (Some(1), vec![(1, true), (2, false)]));
}

/// A firewall that rejects every connect does not keep an incident open.
#[test]
fn endless_refusals_belong_to_the_outage_for_ten_seconds() {
    let mut rest: Vec<_> = (1..150).map(|n| at(2000 + n * 100, refused(1))).collect();
    rest.push(at(20_000, What::End));
    let findings = after_recovery(&rest);
    let (closed, refusals) = failures(&findings);
    assert_eq!(closed, Some(1 + 100));
    let of = |explained| {
        let these = refusals.iter().filter(|(_, because)| *because == explained);
        these.map(|(count, _)| count).sum::<u64>()
    };
    assert_eq!(of(true) + of(false), 150);
}

#[test]
fn a_timeout_after_the_listener_is_up_does_not_belong_to_the_outage() {
    let What::ConnectFailed(mut timeout) = refused(1) else {
        unreachable!()
    };
    timeout.error = ConnectError::Timeout;
    let findings = after_recovery(&[
        at(2150, What::ConnectFailed(timeout)),
        at(5000, What::Tick),
        at(6000, What::End),
    ]);
    assert_eq!(failures(&findings), (Some(1), vec![(1, true), (1, false)]));
}
