//! The stack that `tracer demo` runs: a memory-limited worker behind a proxy on loopback, and an
//! incident caused in it.
//!
//! Everything here is real (processes, a memory cgroup, an OOM kill, HTTP), and none of it knows the
//! tracer. [`Stack`] starts, breaks and removes the stack; [`expectations`] compares the findings with
//! what happened. `cli` traces, and prints the result.

mod cgroup;
mod children;
mod error;
pub mod expectations;
mod facts;
mod http;
mod names;
pub mod proxy;
mod scenario;
mod stack;
mod stopper;
pub mod worker;

pub use error::{ChildError, DemoError};
pub use facts::StackFacts;
pub use names::{PROXY_COMMAND, PROXY_SERVICE, WORKER_COMMAND, WORKER_SERVICE, rules_toml};
pub use scenario::{ClientLog, Exchange};
pub use stack::{Options, ProxyChoice, Stack};
pub use stopper::Stopper;
