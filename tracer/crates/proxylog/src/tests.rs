//! The parsers, over lines that real proxies wrote.

use std::fmt::Write as _;

use proptest::prelude::*;
use tracer_model::LogEntry;

use super::*;

/// What is read from each line of a corpus, shown compactly.
fn read(kind: ProxyKind, corpus: &str) -> String {
    let mut shown = String::new();
    let mut memory = Memory::default();
    for line in corpus.lines() {
        match memory.relate(Some(kind), line, parse(kind, line, false)) {
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

/// A line that was made by hand, as the entry it gives.
fn entry(kind: ProxyKind, line: &str) -> String {
    match parse(kind, line, false) {
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
fn caddy_of_later_releases_tells_whose_answer_broke_off() {
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

const CORPORA: [(ProxyKind, &str); 5] = [
    (ProxyKind::Nginx, include_str!("tests/corpus/nginx.log")),
    (ProxyKind::Apache, include_str!("tests/corpus/apache.log")),
    (ProxyKind::Haproxy, include_str!("tests/corpus/haproxy.log")),
    (
        ProxyKind::Haproxy,
        include_str!("tests/corpus/haproxy-syslog.log"),
    ),
    (ProxyKind::Caddy, include_str!("tests/corpus/caddy.log")),
];

#[test]
fn no_line_is_taken_for_one_of_another_format() {
    for (kind, corpus) in CORPORA {
        for line in corpus.lines() {
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert_eq!(
                    parse(other, line, false),
                    Line::Unreadable,
                    "{other:?}: {line}"
                );
            }
        }
    }
}

#[test]
fn no_query_leaves_a_parser_unless_it_is_asked_for() {
    for (kind, corpus) in CORPORA {
        for line in corpus.lines().filter(|line| line.contains('?')) {
            if let Line::Entry(entry) = parse(kind, line, false) {
                assert!(!format!("{entry:?}").contains('?'), "{entry:?}");
            }
            if let Line::Entry(entry) = parse(kind, line, true) {
                let request = entry.request.as_ref().unwrap();
                assert!(request.target.contains('?'), "{request:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for kind in KINDS {
            let read = parse(kind, &text, true);
            let _ = Memory::default().relate(Some(kind), &text, read);
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
            let read = parse(kind, &text, false);
            let _ = Memory::default().relate(Some(kind), &text, read);
        }
    }
}
