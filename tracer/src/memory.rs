//! The tracer's own memory: what start-up needed goes back to the machine, the rest stays where it
//! is when the machine runs out of memory, and somebody else is killed first.

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};

/// Of -1000 to 1000. Killed only once there is nobody else, or once it has grown to nine tenths of
/// the machine itself, which it never should: then it deserves it.
const STANDS_LAST: i32 = -900;
const OWN_SCORE: &str = "/proc/self/oom_score_adj";

/// How eager the kernel is to kill this process in a shortage, and its children unless they are told
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScore(i32);

impl OomScore {
    /// That of this process; None where /proc does not tell.
    pub fn own() -> Option<Self> {
        fs::read_to_string(OWN_SCORE)
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Self)
    }

    /// Makes it this process's. Allocates nothing, so that it can be done between fork and exec.
    ///
    /// # Errors
    ///
    /// Lowering needs `CAP_SYS_RESOURCE`.
    pub fn take(self) -> io::Result<()> {
        use io::Write as _;
        let mut digits = [0; 8];
        let mut rest = &mut digits[..];
        write!(rest, "{}", self.0)?;
        let unused = rest.len();
        let mut file = fs::OpenOptions::new().write(true).open(OWN_SCORE)?;
        let used = digits.len() - unused;
        file.write_all(&digits[..used])
    }
}

/// Has the kernel kill others first, as far as the tracer is permitted to ask for that. What it was
/// told to be before (`OOMScoreAdjust=`) stays when that is lower yet.
pub fn stand_last() {
    if OomScore::own().is_some_and(|own| own.0 > STANDS_LAST) {
        // Without the capability it is one among many, and small.
        let _ = OomScore(STANDS_LAST).take();
    }
}

/// Start-up reads megabytes (the kernel's types, /proc) that nothing needs afterwards; what was
/// freed of them goes back to the machine, which may be a small one.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free memory of the allocator only; no pointer in use is affected.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps in memory what is there now and what is used later of what is mapped now: code, tables,
/// rings. A machine that thrashes drops the code of its programs first, and a tracer that has to
/// read itself back from the disk tells of a death when it is over.
pub fn stay_resident() {
    // More than is permitted (RLIMIT_MEMLOCK, without CAP_IPC_LOCK) is refused as a whole.
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_read_and_taken() {
        let own = OomScore::own().unwrap();
        own.take().unwrap();
        assert_eq!(OomScore::own(), Some(own));
    }
}
