//! Lines that a proxy writes seconds after its requests, and lines without a client: Envoy's.

use tracer_model::{ClockAnchor, WallTime};

use super::*;

/// The machine with envoy[70] on port 81, whose requests and log are followed.
fn with_envoy() -> Vec<Observation> {
    let mut all = machine(true, false, true);
    let armed = all.pop().unwrap();
    all.extend([
        at(0, process(70, 1, "envoy", "envoy.service")),
        at(0, listens(70, 81)),
        at(
            0,
            What::Witnesses(Witnesses {
                proxy: key(70),
                http: true,
                tls: false,
                log: true,
            }),
        ),
        armed,
    ]);
    all
}

/// The wall time of an instant.
fn wall(ms: u64) -> WallTime {
    let anchor = ClockAnchor {
        boot: when(0),
        wall: WallTime(1_700_000_000_000_000_000),
    };
    anchor.wall(when(ms))
}

/// A line in the default format about a request that ended at that instant.
fn envoy(path: &str, ended: u64) -> LogEntry {
    LogEntry {
        proxy: key(70),
        format: Some(ProxyKind::Envoy),
        pid: None,
        tid: None,
        connection: None,
        client: None,
        status: Some(503),
        elapsed: Some(Duration::from_millis(1)),
        ended: Some(wall(ended)),
        ..nginx(path, Failure::Refused, Some(3000))
    }
}

fn seen(ended: u64, path: &str, port: u16) -> Observation {
    let exchange = HttpExchange {
        actor: actor(70, "envoy"),
        local: Some(tcp(81)),
        ..inbound(ended - 1, path, port, HttpEnd::Status(503))
    };
    at(ended, http(exchange))
}

#[test]
fn a_line_that_comes_ten_seconds_late_repeats_no_finding() {
    let findings = story([
        with_envoy(),
        dies(),
        vec![seen(1100, "/a", 5000), seen(1200, "/a", 5001)],
        vec![
            at(11_000, line(envoy("/a", 1101))),
            at(11_000, line(envoy("/a", 1201))),
        ],
    ]);
    let all = failed(&findings);
    let evidence: Vec<_> = all.iter().map(|one| &*one.evidence).collect();
    assert_eq!(evidence, [[Witness::Http], [Witness::Http]]);
}

#[test]
fn a_request_that_only_a_late_line_has_is_explained_by_its_own_time() {
    let http2 = LogEntry {
        http1: Some(false),
        ..envoy("/h2", 1500)
    };
    let findings = story([
        with_envoy(),
        dies(),
        vec![back(3000), at(9000, line(http2))],
    ]);
    let request = one(&findings);
    assert_eq!(death(&request), Some(60));
    let times = findings
        .iter()
        .filter(|it| matches!(it.body, Body::RequestFailed(_)));
    assert_eq!(times.map(|it| it.at).collect::<Vec<_>>(), [wall(1500)]);
}

#[test]
fn a_time_that_can_not_be_is_not_believed() {
    for ended in [3_600_000, 1] {
        let http2 = LogEntry {
            http1: Some(false),
            ..envoy("/h2", ended)
        };
        let findings = story([with_envoy(), vec![at(20_000, line(http2))]]);
        let at = findings
            .iter()
            .find(|it| matches!(it.body, Body::RequestFailed(_)))
            .map(|it| it.at);
        assert_eq!(at, Some(wall(20_000)), "{ended}");
    }
}

/// Then its incident counts it.
#[test]
fn a_whole_request_that_only_the_log_has_is_reported_before_its_upstream_is_back() {
    let tls = |ended| envoy("/tls", ended);
    let mut all = [
        with_envoy(),
        dies(),
        vec![at(1100, line(tls(1099))), at(1190, line(tls(1189)))],
    ]
    .concat();
    all.push(back(1200));
    // The second line was read just before: its exchange may still follow.
    assert_eq!(failed(&run(&all)).len(), 1);
    all.push(at(3000, What::Tick));
    let findings = run(&all);
    let deaths: Vec<_> = failed(&findings).iter().map(death).collect();
    assert_eq!(deaths, [Some(60), Some(60)]);
}

#[test]
fn what_nothing_explains_was_refused_while_nothing_listened() {
    let unexplained = |ended| LogEntry {
        http1: Some(false),
        failure: Failure::Unknown,
        ..envoy("/h2", ended)
    };
    let findings = story([
        with_envoy(),
        dies(),
        vec![
            back(3000),
            at(9000, line(unexplained(1500))),
            at(9000, line(unexplained(5000))),
        ],
    ]);
    let reported: Vec<_> = failed(&findings)
        .iter()
        .map(|one| (one.failure, death(one)))
        .collect();
    let (refused, unknown) = (Failure::Refused, Failure::Unknown);
    assert_eq!(reported, [(refused, Some(60)), (unknown, None)]);
}

#[test]
fn what_nothing_explains_was_cut_when_its_upstream_went_away_meanwhile() {
    let entry = LogEntry {
        failure: Failure::Unknown,
        ..envoy("/a", 1003)
    };
    let exchange = HttpExchange {
        actor: actor(70, "envoy"),
        local: Some(tcp(81)),
        ..inbound(998, "/a", 5000, HttpEnd::Status(502))
    };
    let findings = story([
        with_envoy(),
        dies(),
        vec![at(1003, http(exchange)), at(1010, line(entry))],
    ]);
    let request = one(&findings);
    assert_eq!((request.failure, death(&request)), (Failure::Cut, Some(60)));
}

#[test]
fn a_line_without_a_client_belongs_to_a_request_with_its_method_and_path() {
    let findings = story([
        with_envoy(),
        dies(),
        vec![
            seen(1100, "/a", 5000),
            seen(1101, "/b", 5001),
            at(1120, line(envoy("/b", 1102))),
            at(1120, line(envoy("/c", 1103))),
        ],
    ]);
    let reported: Vec<_> = failed(&findings)
        .into_iter()
        .map(|one| (one.path.unwrap(), one.evidence))
        .collect();
    let reported: Vec<(&str, &[Witness])> =
        reported.iter().map(|(path, by)| (&**path, &**by)).collect();
    let (http, log) = (Witness::Http, Witness::Log);
    assert_eq!(
        reported,
        [("/a", &[http][..]), ("/b", &[http, log]), ("/c", &[log])]
    );
}
