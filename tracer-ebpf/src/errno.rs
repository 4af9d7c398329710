//! Error numbers, the same on x86-64 and arm64.

pub const EPERM: u32 = 1;
pub const ENOENT: u32 = 2;
pub const EAGAIN: u32 = 11;
pub const ENOMEM: u32 = 12;
pub const EACCES: u32 = 13;
pub const ENOTDIR: u32 = 20;
/// connect() returns it for a blackhole route, and for an address that is too short.
pub const EINVAL: u32 = 22;
pub const ELOOP: u32 = 40;
pub const EPROTOTYPE: u32 = 91;
pub const EADDRINUSE: u32 = 98;
pub const EADDRNOTAVAIL: u32 = 99;
pub const ENETDOWN: u32 = 100;
pub const ENETUNREACH: u32 = 101;
pub const ECONNRESET: u32 = 104;
pub const ENOBUFS: u32 = 105;
pub const ECONNREFUSED: u32 = 111;
pub const EHOSTUNREACH: u32 = 113;
