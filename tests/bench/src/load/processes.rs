//! Idle processes.

use std::io;
use std::ptr;

use anyhow::{Context as _, Result};

/// Idle processes. Dropping them kills them.
pub struct Idle(Vec<libc::pid_t>);

impl Idle {
    pub fn start(count: usize) -> Result<Self> {
        let mut all = Self(Vec::with_capacity(count));
        for _ in 0..count {
            // SAFETY: the child calls only functions that are allowed after a fork of a process
            // with threads.
            let pid = unsafe { libc::fork() };
            match pid {
                -1 => {
                    return Err(io::Error::last_os_error())
                        .with_context(|| format!("making {count} processes"));
                }
                0 => wait_for_a_kill(),
                _ => all.0.push(pid),
            }
        }
        Ok(all)
    }
}

fn wait_for_a_kill() -> ! {
    // SAFETY: no memory is involved. The child is killed when its parent exits.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        loop {
            libc::pause();
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // SAFETY: a child of this process that is not reaped: the pid is its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        for &pid in &self.0 {
            // SAFETY: as above; the pointer to the status may be null.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        }
    }
}
