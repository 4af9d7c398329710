//! Domain types. No I/O, no clock, no aya.

mod address;
mod exit;
mod finding;
mod hierarchy;
mod identity;
mod observation;
mod printable;
pub mod quantity;
mod request;
mod service;
mod signal;
mod target;
mod time;
pub mod wording;

pub use address::{Endpoint, NetNs};
pub use exit::ExitStatus;
pub use finding::*;
pub use hierarchy::Hierarchy;
pub use identity::{Comm, Pid, ProcessKey};
pub use observation::*;
pub use printable::printable;
pub use request::*;
pub use service::{Manager, ProxyKind, Service};
pub use signal::{SI_KERNEL, SIGKILL, SignalName, signal_from_name};
pub use target::{clean_target, template};
pub use time::{ClockAnchor, Timestamp, WallTime};
