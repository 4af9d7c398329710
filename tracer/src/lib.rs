//! Shows which service lost a process, why, and which proxied requests failed because of it.
//!
//! The stages are crates in `tracer/crates/`: `tracer-kernel` and `tracer-observe` produce
//! observations, `tracer-analysis` turns these into findings without any I/O, and `tracer-present`
//! renders the findings. `live` connects the stages for the commands in `cli`.

pub mod cli;
pub mod control;
pub mod demo;
pub mod live;
pub mod self_check;
