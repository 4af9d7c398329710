//! The stack that `tracer demo` runs: a memory-limited worker behind a proxy on loopback, and the
//! incident that is caused in it.
//!
//! Everything here is real (processes, a memory cgroup, an OOM kill, HTTP) and nothing of it knows
//! the tracer: [`Stack`] starts, breaks and removes the stack, [`expectations`] compares what was
//! found meanwhile with what was done. Tracing, and telling the user, are `cli`'s.

mod cgroup;
mod children;
pub mod expectations;
mod http;
pub mod proxy;
mod scenario;
mod stack;
pub mod worker;

use std::io;
use std::path::PathBuf;

use tracer_model::Endpoint;

pub use scenario::{ClientLog, Exchange};

pub use stack::{Options, ProxyChoice, Stack, StackFacts, Stopper};

/// What the worker's service is called by [`rules_toml`].
pub const WORKER_SERVICE: &str = "demo-api";

/// What the built-in proxy's service is called by [`rules_toml`].
pub const PROXY_SERVICE: &str = "demo-proxy";

/// Hidden subcommand of the executable that runs [`worker::run`].
pub const WORKER_COMMAND: &str = "demo-worker";

/// Hidden subcommand of the executable that runs [`proxy::run`].
pub const PROXY_COMMAND: &str = "demo-proxy";

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
    /// Its arguments are not those that [`Stack`] passes.
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

/// `[[service]]` rules that name the processes of a stack, and not those of another demo.
pub fn rules_toml(facts: &StackFacts) -> String {
    let rule = |name: &str, command: &str, address: &Endpoint| {
        let port = match address {
            Endpoint::Tcp(address) => address.port(),
            Endpoint::Unix(_) => 0,
        };
        format!("[[service]]\nname = \"{name}\"\ncmdline = '{command} --port {port}\\b'\n")
    };
    let worker = rule(WORKER_SERVICE, WORKER_COMMAND, &facts.worker);
    let proxy = rule(PROXY_SERVICE, PROXY_COMMAND, &facts.proxy);
    format!("{worker}\n{proxy}")
}
