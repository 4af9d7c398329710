//! What can go wrong with the demo.

use std::io;
use std::path::PathBuf;

/// Why the demo could not be set up or run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no place for a memory-limited cgroup.
    #[error(
        "the demo needs a cgroup with a memory limit, and none can be made: {tried}. \
         Run it as root, on a host or in a container that may write /sys/fs/cgroup"
    )]
    NoMemoryCgroup {
        /// Each place tried and why it did not do.
        tried: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `create`, `write` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// Which.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// nginx was asked for and is not there.
    #[error(
        "nginx is neither in PATH nor at /usr/sbin/nginx; install it or use the built-in proxy"
    )]
    NoNginx,
    /// No TCP port is free on 127.0.0.1.
    #[error("no free TCP port on 127.0.0.1")]
    NoPort(#[source] io::Error),
    /// Something took too long.
    #[error("{what} within {seconds} s{detail}")]
    Timeout {
        /// What did not happen.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
        /// What was seen instead; empty or starts with a separator.
        detail: String,
    },
    /// The user interrupted it.
    #[error("the demo was interrupted")]
    Stopped,
}

/// Why a hidden subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Its arguments are not those that [`super::Stack`] passes.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
}
