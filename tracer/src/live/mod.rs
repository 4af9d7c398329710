//! A trace of the running machine: the stages wired together, and the tracer's own place on it.

pub mod desk;
mod missing;
pub mod pipeline;
mod priority;
mod rehearsal;
pub mod residency;
mod steering;
