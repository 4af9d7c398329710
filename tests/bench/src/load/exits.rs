//! Short processes, as fast as one thread can start them: vfork, exit, wait.

use std::io;
use std::ptr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libc::{c_int, c_void};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::{Driven, repeat};

const STACK: usize = 16 << 10;

pub fn drive(time: Duration) -> Result<Driven> {
    let mut stack = stack();
    repeat(time, || one(&mut stack)).context("making processes")
}

/// The same with parent and children on one processor. On two, most of the time is spent on waking
/// the other, and other load decides how often it sleeps.
pub fn drive_on_one_processor(time: Duration) -> Result<Driven> {
    let anywhere = sched_getaffinity(None).context("asking where this thread may run")?;
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here).context("staying on one processor")?;
    let driven = drive(time);
    sched_setaffinity(None, &anywhere).context("leaving the processor")?;
    driven
}

/// Runs a single process.
pub fn once() -> io::Result<()> {
    one(&mut stack())
}

fn stack() -> Vec<u128> {
    vec![0; STACK / size_of::<u128>()]
}

fn one(stack: &mut [u128]) -> io::Result<()> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child runs on its own stack, of which this is the end, and touches nothing else;
    // this thread waits until it has exited.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end.cast::<c_void>();
        libc::clone(end, top, flags, ptr::null_mut())
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pointer to the status may be null.
    if unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } != pid {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn end(_: *mut c_void) -> c_int {
    // SAFETY: exits the child without running libc's clean-up, whose state belongs to the parent.
    unsafe { libc::_exit(0) }
}
