//! How to speak to a running tracer: `tracer mark` and `tracer status`.
//!
//! Every tracer that watches listens on a socket of its own, for its own user only, in the run
//! directory: `/run/tracer/PID.sock`, or below `TRACER_RUN_DIR`. `protocol` is what is said there (one
//! line of JSON each way, bounded), `server` is the tracer's end, `client` the other; `standing` is
//! what a tracer knows about itself.

pub mod client;
pub mod protocol;
mod run_dir;
pub mod server;
pub mod standing;

pub use protocol::{Answer, Request, Status};
pub use run_dir::{RUN_DIR_VARIABLE, run_dir};
pub use server::{Asked, Server};
pub use standing::Standing;
