//! Observations in, findings out. Pure: no I/O, no clock; time comes from observations.

pub mod attribution;
