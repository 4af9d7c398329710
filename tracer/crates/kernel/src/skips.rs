//! How often the kernel skipped a program: one that is interrupted in the middle is not run again
//! on that processor until it has ended. From 7.0 on, which lets others run in between, second
//! programs make good what most of them would lose so.

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

/// How the names of second programs end.
pub(super) const SECOND: &str = "_second";

/// What is lost when the program of this name is skipped: one of [`lost`]. Nothing when it is a
/// second one: it does something only where another was skipped, which is counted there.
pub(super) fn lost_by(program: &str) -> Option<u32> {
    match program {
        "process_exit" | "oom_victim" => Some(lost::DEATHS),
        _ if program.ends_with(SECOND) => None,
        _ => Some(lost::TRAFFIC),
    }
}

/// So many of each.
pub(super) type Counts = [u64; lost::COUNT as usize];

/// What was skipped and not made good.
#[derive(Default)]
pub(super) struct Skips {
    /// As of the last look: a second program comes after the first, by a while if it has to wait.
    skipped: Counts,
    lost: Counts,
}

impl Skips {
    /// Takes in the counters, to be called now and then; what was skipped since the last call may be
    /// made good yet.
    pub(super) fn look(&mut self, skipped: Counts, made_good: Counts) {
        for ((lost, skipped), made_good) in self.lost.iter_mut().zip(self.skipped).zip(made_good) {
            *lost = skipped.saturating_sub(made_good).max(*lost);
        }
        self.skipped = skipped;
    }

    /// Before the last look: nothing is waited for.
    pub(super) fn settle(&mut self, skipped: Counts) {
        self.skipped = skipped;
    }

    /// Events lost, by what is lost with them.
    pub(super) fn lost(&self) -> Counts {
        self.lost
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
        assert_eq!(lost_by("process_exit"), Some(lost::DEATHS));
        assert_eq!(lost_by("tcp_state"), Some(lost::TRAFFIC));
        assert_eq!(lost_by("process_exit_second"), None);
    }

    #[test]
    fn what_is_made_good_is_not_lost() {
        let mut skips = Skips::default();
        skips.look([3, 5, 0, 0], [2, 5, 0, 0]);
        assert_eq!(skips.lost(), [0; 4], "it may come yet");
        skips.look([9, 5, 0, 0], [3, 5, 0, 0]);
        assert_eq!(skips.lost(), [0; 4], "it came");
        skips.look([9, 5, 0, 0], [8, 5, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0]);
        skips.look([9, 5, 0, 0], [9, 5, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0], "told once, it stays told");
    }

    #[test]
    fn at_the_end_nothing_is_waited_for() {
        let mut skips = Skips::default();
        skips.settle([2, 0, 0, 0]);
        skips.look([2, 0, 0, 0], [1, 0, 0, 0]);
        assert_eq!(skips.lost(), [1, 0, 0, 0]);
    }
}
