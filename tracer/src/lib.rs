//! Tells which service lost a process, why, and which proxied requests failed because of it.
//!
//! The folders are the stages, in the order in which data flows: `kernel` and `observe` turn the
//! outside into [`model::Observation`]s, `analyze` turns those into [`model::Finding`]s without any
//! I/O, `present` shows them. `pipeline` wires the stages together for the commands in `cli`.

pub mod analyze;
pub mod capture;
pub mod cli;
pub mod control;
pub mod demo;
pub mod deploy;
pub mod export;
pub mod kernel;
pub mod memory;
mod missing;
pub mod model;
pub mod observe;
pub mod pipeline;
pub mod present;
mod priority;
pub mod rehearsal;
pub mod report;
pub mod self_check;
pub mod settings;
