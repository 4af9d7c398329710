//! An application behind a proxy, without a manager: the test restarts it.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::asset::asset;
use super::resident::keep_node_resident;
use crate::cgroup::MemoryCgroup;
use crate::process::Guard;

/// The address of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port of 127.0.0.1.
    Tcp(u16),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// As an argument of `shop.js`.
    pub fn listen(&self) -> String {
        match self {
            Self::Tcp(port) => port.to_string(),
            Self::Unix(path) => path.display().to_string(),
        }
    }
}

/// As in findings.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(out, "127.0.0.1:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// A running `shop.js`. Dropping it kills it.
pub struct Worker {
    guard: Guard,
}

impl Worker {
    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(name: &str, address: &Address, cgroup: Option<&MemoryCgroup>) -> Self {
        Self::start_with(name, address, cgroup, 511)
    }

    /// The same with this listen backlog.
    #[track_caller]
    pub fn start_with(
        name: &str,
        address: &Address,
        cgroup: Option<&MemoryCgroup>,
        backlog: u32,
    ) -> Self {
        let mut command = Command::new("node");
        command
            .arg(asset("shop.js"))
            .args([name, &address.listen()]);
        command
            .env("BACKLOG", backlog.to_string())
            .stderr(Stdio::null());
        if let Some(cgroup) = cgroup {
            keep_node_resident();
            cgroup.enter(&mut command);
        }
        Self {
            guard: Guard::ready(&mut command),
        }
    }

    /// The command line that starts it, for managers.
    pub fn command_line(name: &str, address: &Address) -> String {
        let listen = address.listen();
        format!("node {} {name} {listen}", asset("shop.js").display())
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Waits until it prints that it has received a request.
    #[track_caller]
    pub fn wait_for(&mut self, kind: &str, path: &str) {
        assert_eq!(self.guard.line(), format!("{kind} {path}"));
    }

    /// Kills it, and returns its pid.
    #[track_caller]
    pub fn kill(mut self) -> u32 {
        self.guard.signal(Signal::KILL);
        self.wait_for_exit()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.guard.signal(signal);
    }

    /// Waits until it exits, and returns its pid.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> u32 {
        self.guard.wait();
        self.pid()
    }
}
