//! One failed request at a time: one test per rule.

use tracer_model::{Confidence, ExitStatus, Kind};

use super::*;
use crate::tests::{cut, kinds, process, task};

#[test]
fn a_refused_request_has_all_its_witnesses_and_the_death_behind_it() {
    let findings = story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, refused()),
            at(
                1101,
                line(nginx("/api/orders", Failure::Refused, Some(3000))),
            ),
            at(1101, status(1099, "/api/orders", 5000, 502)),
            back(1500),
        ],
    ]);
    let request = one(&findings);
    assert_eq!(&*request.proxy.name, "nginx.service");
    assert_eq!(request.client.as_deref(), Some("203.0.113.9"));
    assert_eq!(request.method.as_deref(), Some("GET"));
    assert_eq!(request.path.as_deref(), Some("/api/orders"));
    assert_eq!(request.host.as_deref(), Some("shop.example"));
    assert_eq!(request.status, Some(502));
    assert_eq!(request.latency_ms, Some(2.0));
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(request.confidence, Some(Confidence::Certain));
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(request.evidence, [Witness::Http, Witness::Log]);
    let because = request.because.unwrap();
    assert_eq!((because.incident, because.death), (1, Some(60)));
    assert!((because.after_ms - 100.0).abs() < 1e-9, "{because:?}");
    assert!(
        because
            .sentence
            .starts_with("api.service died 100 ms earlier: ")
    );

    let incident = closed(&findings);
    assert_eq!(incident.requests_failed, 1);
    assert_eq!(incident.requests[0].path.as_deref(), Some("/api/orders"));
    assert_eq!(incident.requests_by_template[0].count, 1);
    let end = end(&findings);
    assert_eq!(end.requests_failed, 1);
    assert_eq!(&*end.losses[0].service.name, "api.service");
    assert_eq!(end.losses[0].because_of_deaths, 1);
}

#[test]
fn without_a_followed_log_a_request_is_reported_at_once_with_the_workers_connect() {
    let all = [
        machine(true, false, false),
        dies(),
        vec![at(1100, refused()), at(1101, status(1099, "/", 5000, 502))],
    ];
    let now = run(&all.concat());
    let request = one(&now);
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(request.confidence, Some(Confidence::Likely));
    assert_eq!(request.evidence, [Witness::Http]);
    assert_eq!(death(&request), Some(60));
}

#[test]
fn a_request_waits_at_most_100_ms_for_its_line() {
    let all = [
        machine(true, true, true),
        dies(),
        vec![at(1100, refused()), at(1101, status(1099, "/", 5000, 502))],
    ]
    .concat();
    assert_eq!(failed(&run(&all)).len(), 0);
    let ripe = [all.clone(), vec![at(1202, What::Tick)]].concat();
    assert_eq!(one(&run(&ripe)).evidence, [Witness::Http]);
    // Requests that failed before a service recovered are reported before its recovery.
    let findings = run(&[all, vec![back(1150), at(1400, What::Tick)]].concat());
    let kinds = kinds(&findings);
    let place = |kind| kinds.iter().position(|other| *other == kind);
    assert!(
        place(Kind::RequestFailed) < place(Kind::ListenerUp),
        "{kinds:?}"
    );
    assert_eq!(closed(&findings).requests_failed, 1);
}

#[test]
fn a_line_that_follows_its_request_is_added_to_it() {
    let mut entry = haproxy("/", 5000, 503);
    entry.failure = Failure::Unknown;
    let request = one(&story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, refused()),
            at(1101, status(1099, "/", 5000, 503)),
            at(1140, line(entry.clone())),
        ],
    ]));
    assert_eq!(request.evidence, [Witness::Http, Witness::Log]);
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(request.failure, Failure::Refused);
    // Too late to be evidence, but not a second request either.
    let late = one(&story([
        machine(true, true, true),
        vec![
            at(1101, status(1099, "/", 5000, 503)),
            at(1400, line(entry)),
            at(3000, What::Tick),
        ],
    ]));
    assert_eq!(late.evidence, [Witness::Http]);
}

#[test]
fn a_status_from_the_application_is_reported_at_once_and_has_no_death_behind_it() {
    let findings = run(&[
        machine(true, true, true),
        dies(),
        vec![
            back(1200),
            at(1299, http(outbound(1290, "/a", HttpEnd::Status(500)))),
            at(1300, status(1289, "/a", 5000, 500)),
        ],
    ]
    .concat());
    let request = one(&findings);
    assert_eq!(request.failure, Failure::Answered);
    assert_eq!(request.because, None);
    assert_eq!(request.confidence, Some(Confidence::Certain));
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
}

#[test]
fn a_request_in_flight_is_explained_by_the_death_of_the_process_that_held_its_connection() {
    // A worker of a cluster: the listener stays up.
    let worker = What::Forked {
        child: task(62, 60, "node"),
        parent: key(60),
    };
    let What::ConnectionCut {
        mut owner,
        netns,
        local,
        ..
    } = cut()
    else {
        panic!("no cut");
    };
    owner.key = key(62);
    let cut = What::ConnectionCut {
        owner,
        netns,
        local,
        remote: tcp(41_000),
    };
    let all = |cut: What| {
        one(&story([
            machine(true, true, false),
            vec![
                at(10, worker.clone()),
                at(1000, exit(62, "node", KILLED, false)),
                at(1003, cut),
                at(1003, http(outbound(200, "/slow", HttpEnd::PeerClosed))),
                at(1004, status(199, "/slow", 5000, 502)),
                at(2000, What::Tick),
            ],
        ]))
    };
    let request = all(cut);
    assert_eq!(request.failure, Failure::Cut);
    assert_eq!(request.confidence, Some(Confidence::Certain));
    assert_eq!(death(&request), Some(62));
    // Cut connections of unix sockets are not observed: the death in the service explains it.
    assert_eq!(death(&all(What::Tick)), Some(62));
}

#[test]
fn a_reset_without_a_death_during_the_request_is_not_explained() {
    let request = one(&story([
        machine(true, true, false),
        dies(),
        vec![
            back(1200),
            at(1350, http(outbound(1300, "/slow", HttpEnd::PeerReset))),
            at(1350, status(1299, "/slow", 5000, 502)),
        ],
    ]));
    assert_eq!((request.failure, request.because), (Failure::Reset, None));
}

#[test]
fn failures_after_the_recovery_are_not_blamed_on_the_old_death() {
    let request = one(&story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, refused()),
            back(1200),
            at(1300, line(nginx("/", Failure::NoLiveUpstreams, None))),
            at(1300, status(1300, "/", 5000, 502)),
        ],
    ]));
    assert_eq!(request.failure, Failure::NoLiveUpstreams);
    assert_eq!((request.upstream, request.because), (None, None));
}

#[test]
fn no_live_upstreams_is_blamed_on_the_upstream_that_is_down() {
    let request = one(&story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, refused()),
            at(1900, line(nginx("/", Failure::NoLiveUpstreams, None))),
            at(1900, status(1900, "/", 5000, 502)),
        ],
    ]));
    assert_eq!(request.confidence, Some(Confidence::Guess));
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(death(&request), Some(60));
}

#[test]
fn a_refusal_is_explained_by_the_death_even_if_the_response_comes_after_the_recovery() {
    // HAProxy retries for seconds.
    let request = one(&story([
        machine(true, true, false),
        dies(),
        vec![
            at(1100, refused()),
            at(2100, refused()),
            back(2500),
            at(3100, status(1100, "/", 5000, 503)),
        ],
    ]));
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(death(&request), Some(60));
}

#[test]
fn a_line_without_an_exchange_is_reported_only_if_no_other_witness_follows_the_proxy() {
    let refused = line(nginx("/", Failure::Refused, Some(3000)));
    let covered = story([
        machine(true, true, true),
        vec![at(1100, refused.clone()), at(3000, What::Tick)],
    ]);
    assert_eq!(failed(&covered), []);
    // No other witness would have seen it.
    let request = one(&story([
        machine(false, false, true),
        dies(),
        vec![at(1100, refused), at(3000, What::Tick)],
    ]));
    assert_eq!(request.evidence, [Witness::Log]);
    assert_eq!((request.status, request.latency_ms), (None, None));
    assert_eq!(request.client.as_deref(), Some("203.0.113.9"));
    assert_eq!(death(&request), Some(60));
}

#[test]
fn requests_that_only_the_log_can_witness_are_reported_from_it() {
    let http2 = LogEntry {
        http1: Some(false),
        ..nginx("/h2", Failure::Refused, Some(3000))
    };
    let broken = LogEntry {
        phase: Phase::Answering,
        ..nginx("/body", Failure::Cut, Some(3000))
    };
    let last = haproxy("/ha", 5000, 503);
    for (entry, want) in [(http2, None), (broken, None), (last, Some(503))] {
        let path = entry.request.clone().unwrap().target;
        let all = [machine(true, true, true), vec![at(1100, line(entry))]].concat();
        assert_eq!(failed(&run(&all)), []);
        let request = one(&run(&[all, vec![at(2101, What::Tick)]].concat()));
        assert_eq!(request.path.as_deref(), Some(&*path));
        assert_eq!(request.status, want);
    }
}

#[test]
fn the_log_decides_at_a_tls_port_that_no_other_witness_follows() {
    let entry = line(nginx("/", Failure::Refused, Some(3000)));
    let count = |tls| {
        let mut all = machine(true, tls, true);
        all.push(at(2, listens(50, 8443)));
        all.extend([at(1100, entry.clone()), at(3000, What::Tick)]);
        failed(&run(&all)).len()
    };
    assert_eq!((count(false), count(true)), (1, 0));
}

#[test]
fn a_line_is_judged_by_the_witnesses_at_the_time_it_is_read() {
    let entry = |path| line(nginx(path, Failure::Refused, Some(3000)));
    let followed = |http| {
        What::Witnesses(Witnesses {
            proxy: key(50),
            http,
            tls: false,
            log: true,
        })
    };
    let mut all = machine(true, false, true);
    all.extend([
        at(1100, entry("/followed")),
        at(1200, followed(false)),
        at(1300, entry("/not")),
        at(1400, followed(true)),
        at(1500, entry("/again")),
        at(1600, listens(50, 8443)),
        at(1700, entry("/perhaps-tls")),
        at(4000, What::Tick),
    ]);
    let requests = failed(&run(&all));
    let paths: Vec<_> = requests.iter().map(|one| one.path.as_deref()).collect();
    assert_eq!(paths, [Some("/not"), Some("/perhaps-tls")]);
}

#[test]
fn attempts_at_several_upstreams_are_one_request() {
    let attempt = |port| LogEntry {
        http1: Some(false),
        ..nginx("/", Failure::Refused, Some(port))
    };
    let lines = |ports: &[u16]| {
        let lines = ports.iter().map(|port| at(1100, line(attempt(*port))));
        let mut all = machine(true, true, true);
        all.extend(lines);
        all.push(at(3000, What::Tick));
        failed(&run(&all)).iter().map(upstream).collect::<Vec<_>>()
    };
    let to = |port| Some(format!("127.0.0.1:{port}"));
    assert_eq!(lines(&[3000, 3001]), [to(3001)]);
    // The same upstream again is the next request.
    assert_eq!(lines(&[3000, 3001, 3000, 3001]), [to(3001), to(3001)]);
    assert_eq!(lines(&[3000, 3000]), [to(3000), to(3000)]);
}

#[test]
fn apaches_two_lines_are_one_request() {
    let first = LogEntry {
        format: Some(ProxyKind::Apache),
        client: None,
        connection: None,
        request: None,
        http1: None,
        tid: Some(77),
        ..nginx("/", Failure::Refused, Some(3000))
    };
    let second = LogEntry {
        client: Some(ip(9)),
        client_port: Some(5000),
        upstream: None,
        failure: Failure::Unknown,
        ..first.clone()
    };
    let request = one(&story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, line(first)),
            at(1100, line(second)),
            at(1101, status(1099, "/a", 5000, 503)),
            at(3000, What::Tick),
        ],
    ]));
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(request.path.as_deref(), Some("/a"));
    assert_eq!(death(&request), Some(60));
}

#[test]
fn a_tls_session_is_matched_by_its_worker_and_gets_its_client_from_the_log() {
    let mut exchange = inbound(1099, "/pay", 5000, HttpEnd::Status(502));
    exchange.witness = Witness::Tls;
    (exchange.local, exchange.remote) = (None, None);
    let mut other = nginx("/pay", Failure::Cut, Some(3001));
    other.pid = Some(999);
    let request = one(&story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, line(other)),
            at(1100, line(nginx("/pay", Failure::Refused, Some(3000)))),
            at(1101, http(exchange)),
            at(3000, What::Tick),
        ],
    ]));
    assert_eq!(request.client.as_deref(), Some("203.0.113.9"));
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(request.evidence, [Witness::Tls, Witness::Log]);
}

#[test]
fn lines_of_other_clients_and_requests_are_not_added() {
    let mut stranger = nginx("/a", Failure::Timeout, Some(3001));
    stranger.client = Some(ip(10));
    let request = one(&story([
        machine(true, true, true),
        vec![
            at(1100, line(stranger)),
            at(1100, line(nginx("/b", Failure::Reset, Some(3002)))),
            at(1100, line(nginx("/a", Failure::Refused, Some(3000)))),
            at(1101, status(1099, "/a", 5000, 502)),
            at(3000, What::Tick),
        ],
    ]));
    assert_eq!(request.failure, Failure::Refused);
    assert_eq!(upstream(&request).as_deref(), Some("127.0.0.1:3000"));
}

#[test]
fn a_line_read_before_the_request_began_is_the_last_choice() {
    let stale = at(1100, line(nginx("/a", Failure::Reset, Some(3002))));
    let fresh = at(1160, line(nginx("/a", Failure::Refused, Some(3000))));
    let seen = at(1161, status(1150, "/a", 5000, 502));
    let with = |parts: &[&Observation]| {
        let parts = parts.iter().map(|one| (*one).clone()).collect();
        one(&story([machine(true, true, true), parts]))
    };
    // A line's time is when it was read: it is off if the tracer lags.
    assert_eq!(with(&[&stale, &seen]).failure, Failure::Reset);
    assert_eq!(with(&[&stale, &fresh, &seen]).failure, Failure::Refused);
    // nginx writes no line about a status that the application returned.
    let own = at(1160, http(outbound(1151, "/a", HttpEnd::Status(500))));
    let answered = at(1161, status(1150, "/a", 5000, 500));
    assert_eq!(with(&[&stale, &own, &answered]).failure, Failure::Answered);
}

#[test]
fn a_client_behind_a_load_balancer_is_matched_by_its_forwarded_address() {
    let mut exchange = inbound(1099, "/a", 5000, HttpEnd::Status(502));
    exchange.remote = Some(Endpoint::tcp([10, 0, 0, 1].into(), 4000));
    exchange.request.as_mut().unwrap().forwarded_for = Some("203.0.113.9".into());
    let request = one(&story([
        machine(true, true, true),
        vec![
            at(1100, line(nginx("/a", Failure::Reset, Some(3000)))),
            at(1101, http(exchange)),
        ],
    ]));
    assert_eq!(request.evidence, [Witness::Http, Witness::Log]);
    assert_eq!(request.client.as_deref(), Some("10.0.0.1"));
    assert_eq!(request.forwarded_for.as_deref(), Some("203.0.113.9"));
}

#[test]
fn each_end_without_a_response_has_its_own_failure() {
    use HttpEnd::{Closed, PeerClosed, PeerReset, Status};
    let ended = |end, own: Option<HttpEnd>| {
        let own = own.map(|end| at(1100, http(outbound(500, "/a", end))));
        let request = one(&story([
            machine(true, true, false),
            own.into_iter().collect(),
            vec![at(1101, http(inbound(499, "/a", 5000, end)))],
        ]));
        assert_eq!(request.because, None);
        request.failure
    };
    assert_eq!(ended(PeerClosed, None), Failure::ClientGone);
    assert_eq!(ended(PeerReset, Some(Closed)), Failure::ClientGone);
    assert_eq!(ended(Closed, None), Failure::ProxyClosed);
    assert_eq!(ended(Closed, Some(PeerReset)), Failure::Reset);
    assert_eq!(ended(Status(504), Some(Closed)), Failure::Timeout);
    assert_eq!(ended(Status(504), None), Failure::Timeout);
    assert_eq!(ended(Status(502), Some(PeerClosed)), Failure::Cut);
    assert_eq!(ended(Status(500), None), Failure::Unknown);
}

#[test]
fn the_proxys_own_death_explains_requests_without_a_response() {
    let request = one(&story([
        machine(true, true, false),
        vec![
            at(1000, exit(50, "nginx", KILLED, false)),
            at(1001, http(inbound(900, "/a", 5000, HttpEnd::Died))),
            at(3000, What::Tick),
        ],
    ]));
    assert_eq!(request.failure, Failure::ProxyDied);
    assert_eq!((request.status, death(&request)), (None, Some(50)));
}

#[test]
fn a_rewritten_request_is_matched_if_it_is_the_only_one_of_its_worker() {
    let own = HttpExchange {
        actor: actor(50, "nginx"),
        ..outbound(1095, "/internal/a", HttpEnd::PeerReset)
    };
    let with = |others: Vec<Observation>| {
        one(&story([
            machine(true, true, false),
            others,
            vec![
                at(1100, http(own.clone())),
                at(1101, status(1094, "/a", 5000, 502)),
            ],
        ]))
    };
    assert_eq!(with(vec![]).failure, Failure::Reset);
    let another = HttpExchange {
        actor: actor(50, "nginx"),
        ..outbound(1096, "/internal/b", HttpEnd::PeerClosed)
    };
    assert_eq!(
        with(vec![at(1099, http(another))]).failure,
        Failure::Unknown
    );
}

#[test]
fn an_actor_of_another_service_is_ignored() {
    let mut exchange = inbound(1099, "/a", 5000, HttpEnd::Status(502));
    exchange.actor = actor(60, "node");
    let by_node = fails_to_connect(actor(60, "node"), 5432, ConnectError::Refused);
    let request = one(&story([
        machine(true, true, false),
        vec![at(1100, by_node), at(1101, http(exchange))],
    ]));
    assert_eq!(&*request.proxy.name, "nginx.service");
    assert_eq!(request.upstream, None);
}

#[test]
fn requests_of_the_tracer_itself_are_not_reported() {
    let options = crate::Options {
        own_netns: 1,
        own_pid: 50,
        ..crate::Options::default()
    };
    let mut all = machine(true, true, false);
    all.push(at(1101, status(1099, "/", 5000, 502)));
    let mut analysis = crate::Analysis::new(crate::rules::Rules::none(), options);
    let mut findings = Vec::new();
    for observation in &all {
        analysis.observe(observation, &mut findings);
    }
    assert_eq!(failed(&findings), []);
}

#[test]
fn refusals_during_a_graceful_restart_are_explained_by_its_exit() {
    let request = one(&story([
        machine(true, true, false),
        vec![
            at(1000, down(SocketId::Kernel(9))),
            at(1001, exit(60, "node", ExitStatus::Code(0), false)),
            at(1100, refused()),
            at(1100, status(1099, "/", 5000, 502)),
            at(1200, process(61, 1, "node", "api.service")),
            back(1300),
        ],
    ]));
    let because = request.because.unwrap();
    assert_eq!(because.incident, 1);
    assert_eq!(because.death, Some(60));
}
