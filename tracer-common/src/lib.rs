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

/// Bits in the map `PROXY_BITS`.
pub const PROXY_BITS_LEN: u32 = 4096;

/// The bit of a proxy's process in the map `PROXY_BITS`, which others may share.
#[inline]
#[must_use]
pub const fn bit_of_proxy(pid: u32) -> u16 {
    (pid % PROXY_BITS_LEN) as u16
}
