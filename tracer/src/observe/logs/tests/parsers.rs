//! The parsers, over lines that real proxies wrote.

use std::fmt::Write as _;

use super::super::*;

/// What is read from each line of a corpus, shown compactly.
fn read(kind: ProxyKind, corpus: &str) -> String {
    let mut shown = String::new();
    for line in corpus.lines() {
        match parse(kind, line, false) {
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
    insta::assert_snapshot!(read(ProxyKind::Nginx, include_str!("corpus/nginx.log")));
}
