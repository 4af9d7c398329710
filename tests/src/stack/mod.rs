//! Real software for the tests: nginx in front of applications under the managers that run them,
//! each with its own configuration in a folder of its own, on loopback, as if it were the only one.

pub mod client;
mod daemon;
pub mod deployment;
mod fpm;
pub mod http;
pub mod ledger;
mod nginx;
mod pm2;
pub mod proxy;
mod resident;
mod runit;
mod s6;
pub mod scene;
mod story;
mod supervisor;
mod worker;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use daemon::Daemon;
pub use fpm::PhpFpm;
pub use nginx::Nginx;
pub use pm2::Pm2;
pub use runit::Runit;
pub use s6::S6;
pub use story::{KILLER, Kill, Outage, kill_by_script, outage, restart};
pub use supervisor::Supervisor;
pub use worker::{Address, Worker};

/// From the start of an application until it listens: long enough for requests to fail.
pub const WARM_UP: Duration = Duration::from_millis(800);

/// A file of `fixtures/`.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The command line of a node worker, as an administrator writes it: in a cgroup by way of a shell.
pub fn worker_command(cgroup: Option<&super::MemoryCgroup>) -> String {
    node_command(cgroup, &asset("worker.js"))
}

/// The same for another script.
pub fn node_command(cgroup: Option<&super::MemoryCgroup>, script: &Path) -> String {
    let script = script.display();
    match cgroup {
        Some(cgroup) => {
            resident::keep_node_resident();
            let procs = cgroup.procs();
            format!("sh -c 'echo $$ > {}; exec node {script}'", procs.display())
        }
        None => format!("node {script}"),
    }
}

/// Calls `look` until it gives something. Fails the test after `limit`.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = super::patient(limit);
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program of `PATH`, or of the folders of administrators, whose name begins with `name` and
/// goes on with a version at most.
#[track_caller]
fn program(name: &str) -> PathBuf {
    let is_it = |file: &OsStr| {
        file.to_str()
            .and_then(|file| file.strip_prefix(name))
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .filter_map(|folder| folder.read_dir().ok())
        .flat_map(Iterator::flatten)
        .find(|file| is_it(&file.file_name()))
        .unwrap_or_else(|| panic!("{name} is not installed: run `cargo xtask setup --tests`"))
        .path()
}
