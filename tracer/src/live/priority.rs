//! The tracer's scheduling on a busy machine: short turns, and soon.

use std::mem;

use rustix::process::getpriority_process;

/// Runs before processes with the default of 0. The tracer needs little time, but needs it soon.
const NICE: i32 = -5;
/// The length of a turn, ns (from 6.12 on): a shorter turn starts earlier. The default is about 3 ms,
/// which is also how long the tracer would wait behind others.
const SLICE_NS: u64 = 100_000;
/// `SCHED_FLAG_RESET_ON_FORK`.
const RESET_ON_FORK: u64 = 1;

/// Has the kernel run this thread soon after it wakes up. Threads and processes that it starts from
/// here on get the defaults. A priority that was set before (`nice`, `Nice=`) stays.
pub(crate) fn go_first() {
    if getpriority_process(None) != Ok(0) {
        return;
    }
    // SAFETY: a plain structure of numbers; zero is the default of each.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_flags = RESET_ON_FORK;
    wanted.sched_nice = NICE;
    wanted.sched_runtime = SLICE_NS;
    // SAFETY: the kernel reads as many bytes as `size` says. Without `CAP_SYS_NICE` it fails, and the
    // default stays.
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
        // The privilege may be missing here.
        assert!([before, NICE].contains(&itself), "{itself}");
        assert_eq!((own(), started), (before, before));
    }
}
