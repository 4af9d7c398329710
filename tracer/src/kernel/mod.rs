//! kernel
pub mod btf;
