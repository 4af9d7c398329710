//! The tracer's kernel programs, one file per hook family.
//!
//! They filter events, join facts that are known only at that instant, and send records; userspace
//! draws every conclusion. One object runs on every kernel from 5.10 on: struct offsets come in
//! through [`maps::LAYOUT`], no helper is newer than 5.10, and atomics never return the old value.
//!
//! | what | files |
//! |---|---|
//! | hooks | `process`, `signal`, `oom`, `cgroup`, `tcp`, `connect_result`, `http`, `tls` |
//! | state between hooks | `connect_slots`, `connect_failures`, `exchange`, `failed_requests`, `last_connect`, `proxies`, `skips` |
//! | reading | `kernel_read`, `task`, `sock`, `http_message` |
//! | sending | `maps` |
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    unreachable_pub,
    reason = "the program macros make public items out of private modules"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the program macros pass contexts by value"
)]
#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined costs stack, and all calls share 512 bytes"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers are 64 bits wide, whatever the type of a helper's or hook's argument"
)]

/// Logs through aya-log when built with `kernel-log`; expands to nothing otherwise.
macro_rules! log {
    ($($argument:tt)*) => {
        #[cfg(feature = "kernel-log")]
        aya_log_ebpf::debug!($($argument)*);
    };
}

mod cgroup;
mod connect_failures;
mod connect_result;
mod connect_slots;
mod errno;
mod exchange;
mod failed_requests;
mod http;
mod http_message;
mod kernel_read;
mod last_connect;
mod maps;
mod oom;
mod process;
mod proxies;
mod signal;
mod skips;
mod sock;
mod task;
mod tcp;
mod tls;

/// Only GPL-compatible programs may call some helpers (reading kernel memory, for example).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
