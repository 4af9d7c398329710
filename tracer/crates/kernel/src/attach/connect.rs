//! The ladder for the result of connect().

use aya::Ebpf;

use super::ladder::{Taken, descend};
use super::program::{LazyBtf, attach_fexit, attach_kprobe, attach_syscall_tracepoint, unload};
use crate::error::Failure;
use crate::hooks::{INET_CONNECT, UNIX_CONNECT};
use crate::plan::{ConnectRung, Ladder};
use crate::tracefs;

/// The programs of all rungs.
const PROGRAMS: [&str; 7] = [
    "unix_connect_fexit",
    "inet_connect_fexit",
    "connect_kprobe",
    "connect_kretprobe",
    "connect_return",
    "connect_enter",
    "connect_exit",
];

/// The programs of a rung that the kernel can verify without being given a function's type.
pub(super) fn programs(rung: ConnectRung) -> &'static [&'static str] {
    match rung {
        ConnectRung::Fexit => &[],
        ConnectRung::Kretprobe => &["connect_kretprobe", "connect_kprobe"],
        ConnectRung::SyscallExit => &["connect_return"],
        ConnectRung::Syscall => &["connect_exit", "connect_enter"],
    }
}

/// Attaches the best rung that works; returns why, when none does.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    ladder: &Ladder<ConnectRung>,
    btf: &mut LazyBtf,
) -> Result<Taken<ConnectRung, Vec<tracefs::Attached>>, Vec<String>> {
    descend(ladder, ConnectRung::via, |rung| {
        attach_rung(ebpf, rung, btf).inspect_err(|_| {
            // Half of the rung may be attached: no connect may be seen twice.
            for program in PROGRAMS {
                unload(ebpf, program);
            }
        })
    })
}

/// Attaches the end of a call before its beginning: a beginning whose end is not seen would stay in
/// a map.
fn attach_rung(
    ebpf: &mut Ebpf,
    rung: ConnectRung,
    btf: &mut LazyBtf,
) -> Result<Vec<tracefs::Attached>, Failure> {
    const FUNCTIONS: [&str; 2] = [UNIX_CONNECT, INET_CONNECT];
    Ok(match rung {
        ConnectRung::Fexit => {
            attach_fexit(ebpf, "unix_connect_fexit", UNIX_CONNECT, btf)?;
            attach_fexit(ebpf, "inet_connect_fexit", INET_CONNECT, btf)?;
            Vec::new()
        }
        ConnectRung::Kretprobe => {
            attach_kprobe(ebpf, "connect_kretprobe", &FUNCTIONS)?;
            attach_kprobe(ebpf, "connect_kprobe", &FUNCTIONS)?;
            Vec::new()
        }
        ConnectRung::SyscallExit => {
            vec![attach_syscall_tracepoint(
                ebpf,
                "connect_return",
                "sys_exit_connect",
            )?]
        }
        ConnectRung::Syscall => vec![
            attach_syscall_tracepoint(ebpf, "connect_exit", "sys_exit_connect")?,
            attach_syscall_tracepoint(ebpf, "connect_enter", "sys_enter_connect")?,
        ],
    })
}
