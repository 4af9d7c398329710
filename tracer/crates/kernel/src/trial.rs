//! Harmless trials: loads a program of a few instructions, and unloads it at once, to find out whether
//! the kernel accepts its kind.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use super::patch::{self, Cast};

const RETURN_0: u64 = 0xb7;
const EXIT: u64 = 0x95;

/// The part of `union bpf_attr` that loading a program uses, as of 5.10.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ProgLoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    pad: u32,
}

/// Loads `return 0` as an fentry program on the function with this type id.
pub(super) fn fentry(function: u32) -> io::Result<()> {
    const BPF_PROG_TYPE_TRACING: u32 = 26;
    const BPF_TRACE_FENTRY: u32 = 24;
    let attr = ProgLoadAttr {
        prog_type: BPF_PROG_TYPE_TRACING,
        expected_attach_type: BPF_TRACE_FENTRY,
        attach_btf_id: function,
        ..ProgLoadAttr::default()
    };
    load(&attr, &[RETURN_0, EXIT])
}

/// Loads a raw tracepoint program that casts a null pointer and reads through it.
pub(super) fn cast(cast: Cast) -> io::Result<()> {
    const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
    /// `r1 = 0`
    const NULL: u64 = 0x01b7;
    /// `r0 = *(u64 *)(r0 + 0)`
    const LOAD: u64 = 0x0079;
    let attr = ProgLoadAttr {
        prog_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
        ..ProgLoadAttr::default()
    };
    let mut program = [NULL, patch::TYPE, patch::CALL, LOAD, RETURN_0, EXIT];
    patch::patch(&mut program, Some(cast));
    load(&attr, &program)
}

/// Loads a program of this kind.
fn load(kind: &ProgLoadAttr, program: &[u64]) -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    let attr = ProgLoadAttr {
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        ..*kind
    };
    // SAFETY: `attr` is a bpf_attr of the size passed; what it points to lives during the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attr,
            size_of::<ProgLoadAttr>(),
        )
    };
    match libc::c_int::try_from(fd) {
        Ok(fd) if fd >= 0 => {
            // SAFETY: the call has just created this descriptor; nothing else owns it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}
