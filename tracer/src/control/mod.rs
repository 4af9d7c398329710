//! How a running tracer is spoken to: `tracer mark` and `tracer status`.
//!
//! Every tracer that watches listens on a socket of its own, for its user only, in the run
//! directory: `/run/tracer/PID.sock`, elsewhere with `TRACER_RUN_DIR`. `protocol` is what is said
//! there (one line of JSON each way, bounded), `server` the tracer's end, `client` the other;
//! `standing` is what a tracer knows of itself.

pub mod client;
pub mod protocol;
pub mod server;
pub mod standing;

use std::path::PathBuf;

pub use protocol::{Answer, Request, Status};
pub use server::{Asked, Server};
pub use standing::Standing;

/// Names another run directory.
pub const RUN_DIR_VARIABLE: &str = "TRACER_RUN_DIR";

/// Where the sockets are.
pub fn run_dir() -> PathBuf {
    std::env::var_os(RUN_DIR_VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/run/tracer"), PathBuf::from)
}
