//! Facts about the machine, for the first observation of a stream.

use std::fs;

use tracer_model::{Hook, Session};

use super::clock;

/// Facts about this machine. `hooks` and `blind` come from whoever tried to attach and to read.
pub fn session(hooks: Vec<Hook>, blind: Vec<String>) -> Session {
    let uname = rustix::system::uname();
    let memory = rustix::system::sysinfo();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Session {
        tracer_version: env!("CARGO_PKG_VERSION").into(),
        kernel: uname.release().to_string_lossy().into(),
        host: uname.nodename().to_string_lossy().into(),
        boot_id: boot_id.trim().into(),
        clock: clock::anchor(),
        page_bytes: u32::try_from(rustix::param::page_size()).unwrap_or(4096),
        memory_bytes: memory.totalram.saturating_mul(memory.mem_unit.into()),
        hooks,
        blind,
    }
}
