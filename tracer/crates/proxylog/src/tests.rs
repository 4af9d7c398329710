//! The parsers, over lines that real proxies wrote.

use std::fmt::Write as _;

use proptest::prelude::*;
use tracer_model::{Failure, LogEntry};

use super::*;

const CORPORA: [(ProxyKind, &str); 10] = [
    (ProxyKind::Nginx, include_str!("tests/corpus/nginx.log")),
    (ProxyKind::Apache, include_str!("tests/corpus/apache.log")),
    (ProxyKind::Haproxy, include_str!("tests/corpus/haproxy.log")),
    (
        ProxyKind::Haproxy,
        include_str!("tests/corpus/haproxy-syslog.log"),
    ),
    (ProxyKind::Caddy, include_str!("tests/corpus/caddy.log")),
    (ProxyKind::Traefik, include_str!("tests/corpus/traefik.log")),
    (
        ProxyKind::Traefik,
        include_str!("tests/corpus/traefik-json.log"),
    ),
    (ProxyKind::Envoy, include_str!("tests/corpus/envoy.log")),
    (
        ProxyKind::Envoy,
        include_str!("tests/corpus/envoy-istio.log"),
    ),
    (
        ProxyKind::Envoy,
        include_str!("tests/corpus/envoy-json.log"),
    ),
];

fn profile(kind: ProxyKind) -> &'static Profile {
    profile_of(kind).unwrap()
}

/// What is read from each line of a corpus, shown compactly.
fn read(kind: ProxyKind, corpus: &str) -> String {
    let mut shown = String::new();
    let mut reader = Reader::new(profile(kind));
    for line in corpus.lines() {
        match reader.read(line, false) {
            Line::Entry(entry) => writeln!(shown, "{}", compact(&entry)).unwrap(),
            other => writeln!(shown, "{other:?}: {line:.100}").unwrap(),
        }
    }
    shown
}

fn compact(entry: &LogEntry) -> String {
    let mut shown = format!("{:?} {:?}", entry.failure, entry.phase);
    if let Some(request) = &entry.request {
        write!(shown, " {} {}", request.method, request.target).unwrap();
        for (name, value) in [("host", &request.host), ("for", &request.forwarded_for)] {
            if let Some(value) = value {
                write!(shown, " {name}={value}").unwrap();
            }
        }
    }
    for (name, value) in [
        ("http1", entry.http1.map(|value| value.to_string())),
        ("up", entry.upstream.as_ref().map(ToString::to_string)),
        (
            "name",
            entry.upstream_name.as_ref().map(ToString::to_string),
        ),
        ("status", entry.status.map(|value| value.to_string())),
        ("client", entry.client.map(|value| value.to_string())),
        ("port", entry.client_port.map(|value| value.to_string())),
        ("pid", entry.pid.map(|value| value.to_string())),
        ("tid", entry.tid.map(|value| value.to_string())),
        ("conn", entry.connection.map(|value| value.to_string())),
        (
            "ms",
            entry.elapsed.map(|value| value.as_millis().to_string()),
        ),
        ("ended", entry.ended.map(|value| value.to_string())),
    ] {
        if let Some(value) = value {
            write!(shown, " {name}={value}").unwrap();
        }
    }
    shown
}

#[test]
fn lines_of_nginx_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Nginx,
        include_str!("tests/corpus/nginx.log")
    ));
}

#[test]
fn lines_of_haproxy_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Haproxy,
        include_str!("tests/corpus/haproxy.log")
    ));
}

#[test]
fn lines_of_haproxy_are_read_behind_what_a_syslog_daemon_writes() {
    insta::assert_snapshot!(read(
        ProxyKind::Haproxy,
        include_str!("tests/corpus/haproxy-syslog.log")
    ));
}

#[test]
fn lines_of_caddy_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Caddy,
        include_str!("tests/corpus/caddy.log")
    ));
}

#[test]
fn lines_of_apache_are_read_and_those_of_one_failure_joined() {
    insta::assert_snapshot!(read(
        ProxyKind::Apache,
        include_str!("tests/corpus/apache.log")
    ));
}

#[test]
fn lines_of_traefik_in_the_common_format_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Traefik,
        include_str!("tests/corpus/traefik.log")
    ));
}

#[test]
fn lines_of_traefik_in_json_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Traefik,
        include_str!("tests/corpus/traefik-json.log")
    ));
}

#[test]
fn lines_of_envoy_in_its_default_format_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Envoy,
        include_str!("tests/corpus/envoy.log")
    ));
}

#[test]
fn lines_of_envoy_in_the_format_of_istio_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Envoy,
        include_str!("tests/corpus/envoy-istio.log")
    ));
}

#[test]
fn lines_of_envoy_in_json_are_read() {
    insta::assert_snapshot!(read(
        ProxyKind::Envoy,
        include_str!("tests/corpus/envoy-json.log")
    ));
}

/// A line that was made by hand, as the entry it gives.
fn entry(kind: ProxyKind, line: &str) -> String {
    match profile(kind).read(line, false) {
        Line::Entry(entry) => compact(&entry),
        other => format!("{other:?}"),
    }
}

#[test]
fn nginx_writes_more_than_was_caught() {
    let of = |message: &str, details: &str| {
        let line = format!(
            "2026/11/22 23:52:35 [error] 7#8: *9 {message}, client: 10.0.0.1, server: s, request: \
             \"GET /a?key=s3cret HTTP/1.1\", {details}"
        );
        entry(ProxyKind::Nginx, &line)
    };
    let upstream = "upstream: \"fastcgi://unix:/run/php/x.sock:\", host: \"h\"";
    for (message, details, want) in [
        (
            "upstream prematurely closed FastCGI stdout while reading upstream",
            upstream,
            "Cut Answering GET /a host=h http1=true up=unix:/run/php/x.sock",
        ),
        (
            "FastCGI sent in stderr: \"PHP message: connect() failed (111: x)\" while reading \
             response header from upstream",
            upstream,
            "Ignored",
        ),
        (
            "connect() failed (113: No route to host) while connecting to upstream",
            "subrequest: \"/auth\", upstream: \"http://[fe80::1]:3000/x\", host: \"h\"",
            "Unreachable Connecting GET /a host=h http1=true up=[fe80::1]:3000",
        ),
        (
            "no live upstreams while connecting to upstream",
            "upstream: \"http://be/a\", host: \"h\", referrer: \"http://x/\", upstream: \"z\"",
            "NoLiveUpstreams Connecting GET /a host=h http1=true name=be",
        ),
        (
            "peer closed connection in SSL handshake (104: Connection reset by peer) while SSL \
             handshaking to upstream",
            "upstream: \"https://127.0.0.1:443/a\"",
            "Reset Connecting GET /a http1=true up=127.0.0.1:443",
        ),
        (
            "upstream timed out (110: Connection timed out) while proxying upgraded connection",
            "upstream: \"http://127.0.0.1:80/a\"",
            "Ignored",
        ),
        (
            "recv() failed (104: Connection reset by peer) while reading client request line",
            "host: \"h\"",
            "Ignored",
        ),
        (
            "upstream timed out (110: Connection timed out) while reading response header from \
             upstream",
            "upstream: \"http://unix:/run/odd/a?key=s3cret\"",
            "Timeout Waiting GET /a http1=true up=unix:/run/odd",
        ),
    ] {
        let want = match want {
            "Ignored" => want.to_owned(),
            _ => format!("{want} client=10.0.0.1 pid=7 tid=8 conn=9"),
        };
        assert_eq!(of(message, details), want, "{message}");
    }
    let gone = "2026/11/22 23:52:35 [info] 7#8: *9 epoll_wait() reported that client prematurely \
        closed connection, so upstream connection is closed too while sending request to upstream, \
        client: 10.0.0.1, server: s, request: \"GET /a HTTP/3.0\", upstream: \"http://10.0.0.2:1/a\"";
    assert_eq!(
        entry(ProxyKind::Nginx, gone),
        "ClientGone Waiting GET /a http1=false up=10.0.0.2:1 client=10.0.0.1 pid=7 tid=8 conn=9"
    );
    let worker = "2026/11/22 23:52:35 [alert] 7#8: worker process 9 exited on signal 9";
    assert_eq!(entry(ProxyKind::Nginx, worker), "Ignored");
}

#[test]
fn later_releases_of_caddy_say_whose_answer_broke_off() {
    let of = |error: &str| {
        let line = format!(
            "{{\"level\":\"error\",\"ts\":1.5,\"logger\":\"http.handlers.reverse_proxy\",\"msg\":\"aborting \
             with incomplete response\",\"upstream\":\"localhost:3030\",\"duration\":0.001,\"request\":\
             {{\"remote_ip\":\"172.30.208.1\",\"remote_port\":\"55629\",\"client_ip\":\"172.30.208.1\",\
             \"proto\":\"HTTP/3.0\",\"method\":\"GET\",\"host\":\"c\",\"uri\":\"/a\\u0026b?k=s3cret\",\
             \"headers\":{{\"X-Forwarded-For\":[\"172.30.208.1\"]}}}},\"error\":\"{error}\"}}"
        );
        entry(ProxyKind::Caddy, &line)
    };
    let whose = "GET /a&b host=c http1=false name=localhost:3030 client=172.30.208.1 port=55629";
    assert_eq!(
        of("reading: unexpected EOF"),
        format!("Cut Answering {whose}")
    );
    assert_eq!(of("writing: http2: stream closed"), "Ignored");
    let older = "{\"level\":\"error\",\"ts\":1,\"logger\":\"http.log.error\",\"msg\":\"EOF\",\"request\":\
        {\"remote_addr\":\"[::1]:4\",\"proto\":\"HTTP/1.1\",\"method\":\"GET\",\"host\":\"c\",\"uri\":\"/\"},\
        \"duration\":\"1ms\",\"status\":502}";
    assert_eq!(
        entry(ProxyKind::Caddy, older),
        "Cut Waiting GET / host=c http1=true status=502 client=::1 port=4"
    );
}

#[test]
fn older_envoys_and_rare_flags_are_read() {
    let of = |status: u16, flags: &str, reason: &str| {
        let line = format!(
            "[2026-11-27T21:09:08.572Z] \"GET /a?key=s3cret HTTP/2\" {status} {flags} via_x - \
             \"{reason}\" 0 98 7 - \"198.51.100.7, 10.0.0.1\" \"a \" b\" \"id\" \"h\" \"10.0.0.2:80\" \
             outbound|80||shop - 10.0.0.3:80 10.0.0.4:5 - default"
        );
        entry(ProxyKind::Envoy, &line)
    };
    for (status, flags, reason, want) in [
        (
            503,
            "UF",
            "delayed connect error: 111",
            "Refused Connecting",
        ),
        (
            503,
            "UF,URX",
            "immediate connect error: 2",
            "NoSocketFile Connecting",
        ),
        (
            503,
            "UF",
            "TLS_error:|268435581:SSL_routines",
            "Unknown Connecting",
        ),
        (503, "UF", "connection_timeout", "Timeout Connecting"),
        (503, "UR", "-", "Reset Waiting"),
        (200, "UR", "-", "Reset Answering"),
        (503, "LR", "-", "Unknown Waiting"),
        (503, "DF", "-", "Unreachable Connecting"),
        (504, "DT", "-", "Timeout Waiting"),
        (503, "UO", "-", "Unknown Unknown"),
        (500, "UAEX", "-", "Unknown Unknown"),
        (500, "URX", "-", "Answered Waiting"),
        (408, "SI", "-", "Ignored"),
        (429, "RL", "-", "Ignored"),
        (200, "DC", "-", "Ignored"),
        (0, "DPE", "-", "Ignored"),
    ] {
        let want = match want {
            "Ignored" => want.to_owned(),
            _ => format!(
                "{want} GET /a host=h for=198.51.100.7 http1=false up=10.0.0.2:80 status={status} \
                 client=10.0.0.4 port=5 ms=7 ended=2026-11-27T21:09:08.581000000Z"
            ),
        };
        assert_eq!(of(status, flags, reason), want, "{status} {flags} {reason}");
    }
    let texts = "{\"start_time\":\"2026-11-27T21:09:08.572Z\",\"response_code\":\"503\",\"duration\":\"4\",\
        \"response_flags\":\"UC\",\"method\":\"GET\",\"path\":\"/\",\"protocol\":\"HTTP/1.1\",\
        \"upstream_host\":\"-\",\"upstream_cluster\":\"shop\"}";
    assert_eq!(
        entry(ProxyKind::Envoy, texts),
        "Cut Waiting GET / http1=true name=shop status=503 ms=4 ended=2026-11-27T21:09:08.578000000Z"
    );
}

#[test]
fn a_format_of_the_users_own_is_not_misread() {
    for (kind, line) in [
        // genericCLF.
        (
            ProxyKind::Traefik,
            "127.0.0.1 - - [27/Nov/2026:21:06:54 +0000] \"GET /w HTTP/1.1\" 502 11 \"-\" \"-\"",
        ),
        // JSON without the status.
        (
            ProxyKind::Traefik,
            "{\"RequestMethod\":\"GET\",\"RequestPath\":\"/\",\"level\":\"info\"}",
        ),
        // No flags.
        (
            ProxyKind::Envoy,
            "[2026-11-27T21:09:08.572Z] \"GET / HTTP/1.1\" 503 12 98 \"-\"",
        ),
        (
            ProxyKind::Envoy,
            "{\"start_time\":\"2026-11-27T21:09:08.572Z\",\"response_code\":503}",
        ),
        // One field more, one less, another order.
        (
            ProxyKind::Envoy,
            "[2026-11-27T21:09:08.572Z] \"GET / HTTP/1.1\" 503 UF 0 98 0 9 - \"-\" \"a\" \"i\" \"h\" \
             \"10.0.0.1:1\"",
        ),
        (
            ProxyKind::Envoy,
            "[2026-11-27T21:09:08.572Z] \"GET / HTTP/1.1\" 503 UF 0 98 0 \"-\" \"a\" \"i\" \"h\" \
             \"10.0.0.1:1\"",
        ),
        (
            ProxyKind::Envoy,
            "[2026-11-27T21:09:08.572Z] \"GET / HTTP/1.1\" UF 503 0 98 0 - \"-\" \"a\" \"i\" \"h\" \
             \"10.0.0.1:1\"",
        ),
        // Another way to write the time.
        (
            ProxyKind::Envoy,
            "[27/Nov/2026 21:09] \"GET / HTTP/1.1\" 503 UF 0 98 0 - \"-\" \"a\" \"i\" \"h\" \
             \"10.0.0.1:1\"",
        ),
    ] {
        assert_eq!(profile(kind).read(line, false), Line::Unreadable, "{line}");
    }
}

#[test]
fn what_a_proxy_writes_about_itself_shows_no_failed_requests() {
    for (kind, line) in [
        (
            ProxyKind::Traefik,
            "2026-11-27T21:06:54Z DBG log/log.go:244 > httputil: x: unexpected EOF",
        ),
        (
            ProxyKind::Traefik,
            "{\"level\":\"debug\",\"error\":\"EOF\",\"time\":\"2026-11-27T21:06:54Z\",\"caller\":\
             \"github.com/traefik/traefik/v3/pkg/proxy/httputil/proxy.go:199\",\"message\":\"502 Bad Gateway\"}",
        ),
        (
            ProxyKind::Envoy,
            "[2026-11-27 21:08:55.767][13779][info][main] [source/server/server.cc:1098] starting",
        ),
    ] {
        assert_eq!(profile(kind).read(line, false), Line::Notice, "{line}");
        assert!(!profile(kind).is_evidence(line), "{line}");
    }
    for (kind, line) in [
        (ProxyKind::Traefik, include_str!("tests/corpus/traefik.log")),
        (ProxyKind::Envoy, include_str!("tests/corpus/envoy.log")),
    ] {
        assert!(profile(kind).is_evidence(line.lines().next().unwrap()));
    }
}

#[test]
fn each_proxy_has_a_profile_that_its_programs_lead_to() {
    for &kind in ProxyKind::ALL {
        let profile = profile(kind);
        assert_eq!(profile.kind, kind);
        for name in profile.programs {
            for name in [(*name).to_owned(), format!("{name}.old")] {
                let found = profile_of_program(&name).map(|profile| profile.kind);
                assert_eq!(found, Some(kind), "{name}");
            }
        }
    }
    assert!(profile_of_program("node").is_none());
}

#[test]
fn a_profile_promises_what_the_lines_of_its_corpus_say() {
    use Fact::*;
    for &kind in ProxyKind::ALL {
        let mut said = Vec::new();
        for (_, corpus) in CORPORA.iter().filter(|(other, _)| *other == kind) {
            let mut reader = Reader::new(profile(kind));
            for line in corpus.lines() {
                let Line::Entry(entry) = reader.read(line, false) else {
                    continue;
                };
                let host = entry.request.as_ref().and_then(|it| it.host.as_ref());
                said.extend([
                    (Status, entry.status.is_some()),
                    (UpstreamAddress, entry.upstream.is_some()),
                    (UpstreamName, entry.upstream_name.is_some()),
                    (Reason, entry.failure == Failure::Refused),
                    (Client, entry.client.is_some()),
                    (ClientPort, entry.client_port.is_some()),
                    (Request, entry.request.is_some()),
                    (Host, host.is_some()),
                    (Time, entry.ended.is_some()),
                    (Elapsed, entry.elapsed.is_some()),
                    (Worker, entry.pid.is_some()),
                    (Answered, entry.failure == Failure::Answered),
                    (ClientGone, entry.failure == Failure::ClientGone),
                ]);
            }
        }
        // Clients that left are not in these corpora, and what Caddy's application answered is only in
        // its access log.
        let elsewhere = [
            (ProxyKind::Nginx, ClientGone),
            (ProxyKind::Haproxy, ClientGone),
            (ProxyKind::Caddy, ClientGone),
            (ProxyKind::Caddy, Answered),
        ];
        assert!(!said.is_empty(), "{kind:?}: its corpus has no entry");
        let wrong: Vec<Fact> = said
            .iter()
            .map(|(fact, _)| *fact)
            .filter(|&fact| !elsewhere.contains(&(kind, fact)))
            .filter(|&fact| profile(kind).says(fact) != said.contains(&(fact, true)))
            .collect();
        assert!(wrong.is_empty(), "{kind:?}: {wrong:?}");
    }
}

#[test]
fn no_line_is_taken_for_one_of_another_format() {
    for (kind, corpus) in CORPORA {
        for line in corpus.lines() {
            for other in PROFILES.iter().filter(|other| other.kind != kind) {
                let read = other.read(line, false);
                assert_eq!(read, Line::Unreadable, "{:?}: {line}", other.kind);
            }
        }
    }
}

#[test]
fn no_query_leaves_a_parser_unless_it_is_asked_for() {
    for (kind, corpus) in CORPORA {
        for line in corpus.lines().filter(|line| line.contains('?')) {
            if let Line::Entry(entry) = profile(kind).read(line, false) {
                assert!(!format!("{entry:?}").contains('?'), "{entry:?}");
            }
            if let Line::Entry(entry) = profile(kind).read(line, true) {
                let request = entry.request.as_ref().unwrap();
                assert!(request.target.contains('?'), "{request:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for profile in &PROFILES {
            let _ = Reader::new(profile).read(&text, true);
        }
    }

    /// A line of the corpus with a piece of it replaced, removed or repeated, and cut.
    #[test]
    fn any_line_that_was_damaged_is_read(
        corpus in 0..CORPORA.len(),
        line: prop::sample::Index,
        (from, len) in (any::<prop::sample::Index>(), 0..40_usize),
        piece in "[\\PC\u{0}\"\\[\\]():,/ ?]{0,12}",
        cut: prop::sample::Index,
    ) {
        let (kind, corpus) = CORPORA[corpus];
        let lines: Vec<&str> = corpus.lines().collect();
        let chars: Vec<char> = line.get(&lines).chars().collect();
        let from = from.index(chars.len());
        let to = (from + len).min(chars.len());
        let damaged: Vec<char> = chars[..from]
            .iter()
            .copied()
            .chain(piece.chars())
            .chain(chars[to..].iter().copied())
            .collect();
        for end in [damaged.len(), cut.index(damaged.len() + 1)] {
            let text: String = damaged[..end].iter().collect();
            let _ = Reader::new(profile(kind)).read(&text, false);
        }
    }
}
