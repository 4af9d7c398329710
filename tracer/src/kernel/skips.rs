//! How often the kernel skipped a program: one that is interrupted in the middle is not run again
//! on that processor until it has ended. From 7.x, which lets others run in between, a storm's events
//! are lost so.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use tracer_common::record::lost;

/// `struct bpf_prog_info`, as far as the counter that is wanted.
#[repr(C)]
struct ProgInfo {
    before: [u64; 26],
    recursion_misses: u64,
}

/// The part of `union bpf_attr` that asking for information uses.
#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// What is lost when the program of this name is skipped: one of [`lost`].
pub(super) fn lost_by(program: &str) -> u32 {
    match program {
        "process_exit" | "oom_mark" => lost::DEATHS,
        _ => lost::TRAFFIC,
    }
}

/// How often the program was skipped; 0 where the kernel does not count (before 5.12).
pub(super) fn of(program: BorrowedFd<'_>) -> u64 {
    const SIZE: u32 = 27 * 8;
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    let mut info = ProgInfo {
        before: [0; 26],
        recursion_misses: 0,
    };
    let attr = InfoAttr {
        fd: u32::try_from(program.as_raw_fd()).unwrap_or(u32::MAX),
        info_len: SIZE,
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: `attr` is a bpf_attr of the size told; the kernel writes no more than `info_len` bytes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const attr,
            size_of::<InfoAttr>(),
        )
    };
    if result == 0 {
        info.recursion_misses
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_counter_is_where_the_kernel_writes_it() {
        assert_eq!(std::mem::offset_of!(ProgInfo, recursion_misses), 208);
        assert_eq!(size_of::<ProgInfo>(), 27 * 8);
    }

    #[test]
    fn what_is_no_program_was_never_skipped() {
        assert_eq!(of(std::io::stdout().as_fd()), 0);
    }

    #[test]
    fn a_skipped_exit_is_a_lost_death() {
        assert_eq!(lost_by("process_exit"), lost::DEATHS);
        assert_eq!(lost_by("tcp_state"), lost::TRAFFIC);
    }
}
