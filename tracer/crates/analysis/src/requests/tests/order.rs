//! The findings do not depend on the order in which witnesses report.

use proptest::prelude::*;

use super::*;

/// The reports of the witnesses of a request of one of several kinds.
fn witnesses(kind: u8, number: u16) -> Vec<What> {
    let path = format!("/r/{number}");
    let port = 5000 + number;
    let seen = status(1090, &path, port, 502);
    match kind {
        0 => vec![line(nginx(&path, Failure::Refused, Some(3000))), seen],
        1 => vec![line(haproxy(&path, port, 502)), seen],
        2 => vec![http(outbound(1091, &path, HttpEnd::PeerReset)), seen],
        3 => vec![line(LogEntry {
            http1: Some(false),
            ..nginx(&path, Failure::Cut, Some(3000))
        })],
        _ => vec![line(nginx(&path, Failure::Reset, Some(3000)))],
    }
}

fn reported(events: &[What]) -> Vec<String> {
    let mut all = [machine(true, true, true), dies(), vec![at(1095, refused())]].concat();
    all.extend(events.iter().map(|what| at(1100, what.clone())));
    all.extend([at(5000, What::Tick), at(9000, What::End)]);
    let mut failed: Vec<String> = run(&all)
        .iter()
        .filter(|finding| matches!(finding.body, Body::RequestFailed(_)))
        .map(|finding| serde_json::to_string(finding).unwrap())
        .collect();
    failed.sort();
    failed
}

proptest! {
    #[test]
    fn any_order_within_the_hold_gives_the_same_findings(
        (events, shuffled) in prop::collection::vec(0..5u8, 1..12).prop_flat_map(|kinds| {
            let events: Vec<What> = kinds
                .iter()
                .zip(0..)
                .flat_map(|(kind, number)| witnesses(*kind, number))
                .collect();
            (Just(events.clone()), Just(events).prop_shuffle())
        })
    ) {
        let findings = reported(&events);
        prop_assert_eq!(&findings, &reported(&events), "the findings depend only on the observations");
        prop_assert_eq!(&findings, &reported(&shuffled));
        let inbound = events.iter().filter(|what| {
            matches!(what, What::Http(exchange) if exchange.side == Side::Inbound)
        });
        let http2 = events.iter().filter(|what| {
            matches!(what, What::ProxyLog(entry) if entry.http1 == Some(false))
        });
        prop_assert_eq!(findings.len(), inbound.count() + http2.count());
    }

    #[test]
    fn identical_concurrent_requests_have_one_finding_each(
        lines in 0..6usize, requests in 1..6u16
    ) {
        let mut events: Vec<What> = (0..requests)
            .map(|number| status(1090, "/same", 5000 + number, 502))
            .collect();
        for _ in 0..lines {
            let mut entry = nginx("/same", Failure::Refused, Some(3000));
            entry.connection = None;
            events.insert(0, line(entry));
        }
        let findings = reported(&events);
        prop_assert_eq!(findings.len(), usize::from(requests));
        let with_log = findings.iter().filter(|one| one.contains("\"log\"")).count();
        prop_assert_eq!(with_log, lines.min(usize::from(requests)));
    }
}
