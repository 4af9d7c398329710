//! What the loader replaces in the programs before the kernel sees them.
//!
//! Reading kernel memory by plain loads takes a call of the kernel function `bpf_rdonly_cast`
//! (Linux 6.2+), by a type id that is every kernel's own; older kernels refuse programs in which it
//! occurs at all. The programs are compiled with the numbers below instead, which occur nowhere
//! else.

/// Immediate of a move: whether memory can be read through a cast pointer, 0 or 1.
pub const CAN_CAST: i32 = 0x5ca5_7001;
/// Immediate of a move: the type id of [`STRUCT`].
pub const STRUCT_ID: i32 = 0x5ca5_7002;
/// Immediate of a call: to the function [`FUNCTION`], with the address in r1 and the type id in r2;
/// the pointer comes back in r0.
pub const CAST: i32 = 0x5ca5_7003;

/// The kernel function.
pub const FUNCTION: &str = "bpf_rdonly_cast";
/// What addresses are cast to: its first member is an array of characters, more than 16, of which
/// the verifier lets programs load words.
pub const STRUCT: &str = "new_utsname";
