//! The contract between the kernel programs and userspace: the records that cross the rings, and the
//! kernel struct fields that the programs read.
//!
//! Both sides compile this crate, so that no second copy can differ. It has no logic on purpose:
//! kernel programs filter and join, userspace concludes.
#![no_std]

pub mod layout;
pub mod patch;
pub mod record;

pub use layout::{ABSENT, Decisions, Layout};

/// Bits in the map `PROXY_BITS`.
pub const PROXY_BITS_LEN: u32 = 4096;

/// The bit of a proxy's process in the map `PROXY_BITS`; several processes may share it.
#[inline]
#[must_use]
pub const fn bit_of_proxy(pid: u32) -> u16 {
    (pid % PROXY_BITS_LEN) as u16
}
