//! The control socket of a running tracer, for `tracer mark` and `tracer status`.
//!
//! Every watching tracer listens on a socket that only its own user can open: `PID.sock` in
//! `/run/tracer`, or in the directory that `TRACER_RUN_DIR` names. `protocol` defines the messages (one
//! bounded line of JSON each way), `server` is the tracer's end, `client` the other end, and `standing`
//! keeps the totals that a status contains.

pub mod client;
pub mod protocol;
mod run_dir;
pub mod server;
pub mod standing;

pub use protocol::{Answer, Request, Status};
pub use run_dir::{RUN_DIR_VARIABLE, run_dir};
pub use server::{Asked, Server};
pub use standing::Standing;
