//! What the loader replaces in the programs before the kernel sees them.
//!
//! Reading kernel memory with plain loads takes a call of the kernel function `bpf_rdonly_cast`
//! (Linux 6.2+), whose type id differs on every kernel. Older kernels refuse a program that contains
//! such a call. The programs are therefore compiled with the numbers below as placeholders, which
//! occur nowhere else in them.

/// Immediate of a move: whether memory can be read through a cast pointer, 0 or 1.
pub const CAN_CAST: i32 = 0x5ca5_7001;
/// Immediate of a move: the type id of [`STRUCT`].
pub const STRUCT_ID: i32 = 0x5ca5_7002;
/// Immediate of a call of [`FUNCTION`], with the address in r1 and the type id in r2; the pointer is
/// returned in r0.
pub const CAST: i32 = 0x5ca5_7003;

/// The kernel function.
pub const FUNCTION: &str = "bpf_rdonly_cast";
/// The struct that addresses are cast to: its first member is an array of more than 16 characters,
/// from which the verifier lets programs load words.
pub const STRUCT: &str = "new_utsname";
