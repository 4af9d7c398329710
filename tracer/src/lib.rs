//! Shows which service lost a process, why, and which proxied requests failed because of it.
//!
//! The stages are crates of their own (`tracer/crates/`): `tracer-kernel` and `tracer-observe` turn
//! the outside into observations, `tracer-analysis` turns those into findings without any I/O,
//! `tracer-present` shows them. `live` wires the stages together for the commands in `cli`.

pub mod cli;
pub mod control;
pub mod demo;
pub mod live;
pub mod self_check;
