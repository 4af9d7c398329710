//! Domain types. No I/O, no clock, no aya.

mod address;
mod exit;
mod finding;
mod identity;
mod observation;
mod printable;
pub mod quantity;
mod service;
mod signal;
mod time;

pub use address::{Endpoint, NetNs};
pub use exit::ExitStatus;
pub use finding::*;
pub use identity::{Comm, Pid, ProcessKey};
pub use observation::*;
pub use printable::printable;
pub use service::{Manager, ProxyKind, Service};
pub use signal::{SignalName, signal_from_name};
pub use time::{ClockAnchor, Timestamp, WallTime};
