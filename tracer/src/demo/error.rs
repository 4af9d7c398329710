//! The errors of the demo.

use std::io;
use std::path::PathBuf;

/// Why the demo could not be set up or run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No cgroup with a memory limit could be created.
    #[error(
        "cannot create a cgroup with a memory limit for the demo: {tried}. \
         Run it as root, on a host or in a container that may write to /sys/fs/cgroup"
    )]
    NoMemoryCgroup {
        /// Each attempt, and why it failed.
        tried: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation that failed: `create`, `write` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// The error.
        source: io::Error,
    },
    /// nginx was requested but is not installed.
    #[error("nginx is neither in PATH nor in /usr/sbin; install it, or use the built-in proxy")]
    NoNginx,
    /// No TCP port is free on 127.0.0.1.
    #[error("no TCP port is free on 127.0.0.1")]
    NoPort(#[source] io::Error),
    /// Something took too long.
    #[error("{what} within {seconds} s{detail}")]
    Timeout {
        /// What did not happen.
        what: &'static str,
        /// How long the demo waited.
        seconds: u64,
        /// What happened instead; empty, or begins with a separator.
        detail: String,
    },
    /// The user interrupted it.
    #[error("the demo was interrupted")]
    Stopped,
}

/// Why a hidden subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Its arguments are wrong; [`super::Stack`] passes the right ones.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The error.
        source: io::Error,
    },
}
