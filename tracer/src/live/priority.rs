//! The tracer's turn on a busy machine: soon, and short.

use std::mem;

use rustix::process::getpriority_process;

/// Before what runs with the usual 0. What it takes is little, and it takes it at once.
const NICE: i32 = -5;
/// The turn that it asks for, ns (from 6.12 on): who asks for less gets it earlier. The usual one is
/// about 3 ms, and what it would wait behind others.
const SLICE_NS: u64 = 100_000;
/// `SCHED_FLAG_RESET_ON_FORK`.
const RESET_ON_FORK: u64 = 1;

/// Has the kernel run this thread soon after it woke. Threads and processes that it starts from here
/// on get the usual. Whatever it was told to be before (`nice`, `Nice=`) stays.
pub(crate) fn go_first() {
    if getpriority_process(None) != Ok(0) {
        return;
    }
    // SAFETY: a plain structure of numbers, for which zero is the usual.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_flags = RESET_ON_FORK;
    wanted.sched_nice = NICE;
    wanted.sched_runtime = SLICE_NS;
    // SAFETY: the kernel reads as many bytes as `size` says. Without the capability for it
    // (`CAP_SYS_NICE`) it is one among many.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn own() -> i32 {
        getpriority_process(None).unwrap()
    }

    #[test]
    fn only_the_thread_itself_goes_first() {
        let before = own();
        let seen = thread::spawn(|| {
            go_first();
            (own(), thread::spawn(own).join().unwrap())
        });
        let (itself, started) = seen.join().unwrap();
        // Needs a privilege that tests beside the code need not have.
        assert!([before, NICE].contains(&itself), "{itself}");
        assert_eq!((own(), started), (before, before));
    }
}
