//! The tracer's kernel programs, one file per hook family.
//!
//! They filter, join what only the kernel knows at that instant, and send records; every
//! conclusion is drawn in userspace. One object runs on every kernel from 5.10 on: struct offsets
//! come in through [`maps::LAYOUT`], no helper is newer than 5.10, atomics never fetch.
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
    reason = "a call that is not inlined costs stack, which all of them share 512 bytes of"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers are 64 bits wide whatever a helper or hook means by them"
)]

/// Logs through aya-log when built with `kernel-log`; nothing otherwise.
macro_rules! log {
    ($($argument:tt)*) => {
        #[cfg(feature = "kernel-log")]
        aya_log_ebpf::debug!($($argument)*);
    };
}

mod again;
mod cgroup;
mod connect;
mod connecting;
mod exchange;
mod http;
mod kernel_read;
mod maps;
mod oom;
mod process;
mod refusals;
mod signal;
mod task;
mod tcp;
mod tls;

/// Some helpers (reading kernel memory, signals) are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
