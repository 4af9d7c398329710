//! Counts how often the kernel skipped a program. A program that is interrupted in the middle is not
//! run again on that processor until it has finished. From 7.0 on other tasks may run in between;
//! there, second programs handle most of the skipped events (`tracer-ebpf/src/skips.rs`).

use std::os::fd::{AsRawFd as _, BorrowedFd};

use tracer_common::record::lost;

use super::hooks::SECOND_SUFFIX;

/// `struct bpf_prog_info` up to the counter of skips.
#[repr(C)]
struct ProgInfo {
    before: [u64; 26],
    recursion_misses: u64,
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` uses.
#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// What is lost when the program with this name is skipped: one of [`lost`]. None for a second
/// program, which acts only when its first was skipped: the skip of the first is counted.
pub(super) fn lost_by(program: &str) -> Option<u32> {
    match program {
        "process_exit" | "oom_victim" => Some(lost::DEATHS),
        _ if program.ends_with(SECOND_SUFFIX) => None,
        _ => Some(lost::TRAFFIC),
    }
}

/// A count for each kind of loss, by [`lost`].
pub(super) type Counts = [u64; lost::COUNT as usize];

/// The events that were skipped and that no second program handled.
#[derive(Default)]
pub(super) struct Skips {
    /// As of the last look. A second program runs after the first, and may have to wait.
    skipped: Counts,
    lost: Counts,
}

impl Skips {
    /// Updates the losses from the counters; to be called now and then. Events skipped since the last
    /// call are not lost yet: a second program may still handle them.
    pub(super) fn look(&mut self, skipped: Counts, made_good: Counts) {
        for ((lost, skipped), made_good) in self.lost.iter_mut().zip(self.skipped).zip(made_good) {
            *lost = skipped.saturating_sub(made_good).max(*lost);
        }
        self.skipped = skipped;
    }

    /// To be called before the last look, which then waits for no second program.
    pub(super) fn settle(&mut self, skipped: Counts) {
        self.skipped = skipped;
    }

    /// Events lost until now.
    pub(super) fn lost(&self) -> Counts {
        self.lost
    }
}

/// How often the kernel skipped the program; 0 before 5.12, where it does not count.
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
    // SAFETY: `attr` is a bpf_attr of the size passed; the kernel writes at most `info_len` bytes.
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
    fn the_counter_is_at_the_offset_where_the_kernel_writes_it() {
        assert_eq!(std::mem::offset_of!(ProgInfo, recursion_misses), 208);
        assert_eq!(size_of::<ProgInfo>(), 27 * 8);
    }

    #[test]
    fn a_descriptor_that_is_not_a_program_was_never_skipped() {
        assert_eq!(of(std::io::stdout().as_fd()), 0);
    }

    #[test]
    fn a_skipped_exit_is_a_lost_death() {
        assert_eq!(lost_by("process_exit"), Some(lost::DEATHS));
        assert_eq!(lost_by("tcp_state"), Some(lost::TRAFFIC));
        assert_eq!(lost_by("process_exit_second"), None);
    }

    #[test]
    fn events_that_second_programs_handle_are_not_lost() {
        let mut skips = Skips::default();
        skips.look([3, 5, 0, 0], [2, 5, 0, 0]);
        assert_eq!(skips.lost(), [0; 4], "a second program may still handle it");
        skips.look([9, 5, 0, 0], [3, 5, 0, 0]);
        assert_eq!(skips.lost(), [0; 4], "it did");
        skips.look([9, 5, 0, 0], [8, 5, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0]);
        skips.look([9, 5, 0, 0], [9, 5, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0], "a reported loss stays reported");
    }

    #[test]
    fn the_last_look_waits_for_no_second_program() {
        let mut skips = Skips::default();
        skips.settle([2, 0, 0, 0]);
        skips.look([2, 0, 0, 0], [1, 0, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0]);
    }
}
