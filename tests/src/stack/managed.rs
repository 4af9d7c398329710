//! The outages and restarts that read the same under every service manager. Each test has a service with
//! a unique name, because tests that run at the same time see each other's.

use std::path::Path;
use std::process::Command;

use super::nginx::Nginx;
use super::story::{Kill, outage, restart};
use crate::{MemoryCgroup, free_port};

const LIMIT_BYTES: u64 = 128 << 20;

/// The service that a manager is to run.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// An empty folder for the manager's files.
    pub folder: &'a Path,
    /// The service's name.
    pub name: &'a str,
    /// The cgroup to run it in.
    pub cgroup: Option<&'a MemoryCgroup>,
    /// The port it has to listen on.
    pub port: u16,
}

/// The worker dies, requests fail with 502, the manager restarts the worker; checks all findings about it.
#[track_caller]
pub fn killed<T>(manager: &str, name: &str, kill: Kill, start: impl FnOnce(Wanted<'_>) -> T) {
    let folder = tempfile::tempdir().unwrap();
    let cgroup = (kill == Kill::Oom).then(|| MemoryCgroup::new(name, LIMIT_BYTES));
    let wanted = Wanted {
        folder: folder.path(),
        name,
        cgroup: cgroup.as_ref(),
        port: free_port(),
    };
    let _running = start(wanted);
    let nginx = Nginx::before_http(folder.path(), wanted.port);
    let outage = outage(folder.path(), &nginx, name, kill);
    outage.check(kill, name, manager, wanted.port);
}

/// A restart that the manager's client requests is a clean stop by the manager, whose process is named `by`.
#[track_caller]
pub fn restarted<T>(
    manager: &str,
    name: &str,
    by: &str,
    start: impl FnOnce(Wanted<'_>) -> T,
    client: impl FnOnce(&T) -> Command,
) {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        folder: folder.path(),
        name,
        cgroup: None,
        port: free_port(),
    };
    let running = start(wanted);
    let nginx = Nginx::before_http(folder.path(), wanted.port);
    let restart = restart(&nginx, name, &mut client(&running));
    let death = restart.only("death", |f| f["service"]["name"] == name);
    assert_eq!(death["process"]["pid"], restart.pid, "{death}");
    assert_eq!(death["service"]["manager"], manager, "{death}");
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["by"]["comm"], by, "{death}");
    let why = death["why"].as_str().unwrap();
    let stopped = format!("stopped by {manager} (SIGTERM)");
    assert!(why.starts_with(&stopped), "{death}");
    let up = restart.only("listener_up", |f| f["service"]["name"] == name);
    assert_eq!(up["address"], format!("127.0.0.1:{}", wanted.port), "{up}");
}
