//! Following and reading logs: real files in temporary directories, and this process as the proxy
//! that writes them.

mod parsers;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::model::{Failure, Pid};
use crate::observe::process;

fn me() -> ProxyProcess {
    let pid: Pid = std::process::id();
    ProxyProcess {
        key: ProcessKey {
            pid,
            start_ticks: process::start_ticks(pid).unwrap(),
        },
        kind: ProxyKind::Nginx,
    }
}

/// A line of nginx about connection `number`.
fn line(number: u64) -> String {
    format!(
        "2026/11/22 23:52:35 [error] 7#7: *{number} connect() failed (111: Connection refused) \
         while connecting to upstream, client: 127.0.0.1, server: , request: \"GET /{number} \
         HTTP/1.1\", upstream: \"http://127.0.0.1:9102/{number}\", host: \"a\"\n"
    )
}

fn appending(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).unwrap()
}

/// The connection numbers that were told, once everything was looked at.
fn numbers(logs: &mut Logs) -> Vec<u64> {
    let out = told(logs);
    let entries = out.iter().filter_map(|what| match what {
        What::ProxyLog(entry) => entry.connection,
        _ => None,
    });
    entries.collect()
}

fn told(logs: &mut Logs) -> Vec<What> {
    let mut out = Vec::new();
    let now = clock::now();
    logs.check(now);
    logs.read(now, &mut out);
    while logs.logs.iter().any(|log| log.dirty) {
        logs.read(now, &mut out);
    }
    out.into_iter()
        .map(|observation| observation.what)
        .collect()
}

fn following(proxy: ProxyProcess) -> Logs {
    let mut logs = Logs::new(false, Vec::new());
    logs.follow(&[proxy]);
    logs
}

#[test]
fn what_a_proxy_writes_to_its_open_log_after_the_start_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    log.write_all(line(1).as_bytes()).unwrap();
    let mut logs = following(me());
    assert!(numbers(&mut logs).is_empty());
    assert!(logs.logged(me().key) && logs.take_changed() && !logs.take_changed());
    let text = format!("{}{}", line(2), line(3));
    let (first, second) = text.split_at(line(2).len() + 40);
    log.write_all(first.as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [2]);
    log.write_all(second.as_bytes()).unwrap();
    let told = told(&mut logs);
    let [What::ProxyLog(entry)] = &*told else {
        panic!("{told:?}");
    };
    assert_eq!(entry.proxy, me().key);
    assert_eq!(entry.failure, Failure::Refused);
}
