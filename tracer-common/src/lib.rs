//! The contract between the kernel programs and userspace: what crosses the rings, and which
//! kernel struct fields the programs read.
//!
//! Both sides compile this crate, so there is no second copy to keep alike. It deliberately has no
//! logic: deciding is the kernel programs' work, interpreting is userspace's.
#![no_std]

pub mod layout;
pub mod patch;
pub mod record;

pub use layout::{ABSENT, Decisions, Layout};
