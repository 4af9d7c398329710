//! The tracer's own memory: what start-up needed goes back to the machine, the rest stays where it
//! is when the machine runs out of memory, and somebody else is killed first.

use std::fs;
use std::io;

use rustix::mm::{Advice, MlockAllFlags, madvise, mlockall};

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

/// Has all threads share one heap: what one of them frees is there for the others, and few allocate at
/// the same time.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator's; no pointer is involved.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Start-up reads megabytes (the kernel's types, /proc) that nothing needs afterwards, by code that
/// does not run again: both go back to the machine, which may be a small one.
pub fn give_back() {
    trim();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code) {
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the mapping is of a file and can't be written, so that each page is read from the
        // file again when it is used, as it was. A failure leaves the pages where they are.
        let _ = unsafe { madvise(start, length, Advice::LinuxDontNeed) };
    }
}

/// Start and length of a mapping of code, by a line of /proc/self/maps. Other mappings that can't
/// be written may have been before they were relocated: what is in them is in no file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut parts = line.split_ascii_whitespace();
    let (start, end) = parts.next()?.split_once('-')?;
    let is_code = parts.next()? == "r-xp";
    let is_file = parts.nth(3).is_some_and(|path| path.starts_with('/'));
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    (is_code && is_file).then(|| (start, end.saturating_sub(start)))
}

/// Gives back what a storm needed and nothing needs after it, as far as it is not locked.
pub fn trim() {
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
    fn only_code_that_is_in_a_file_is_given_back() {
        let lines = [
            ("1000-3000 r-xp 00001000 fe:00 17 /usr/bin/tracer", true),
            ("1000-3000 r-xp 00001000 fe:00 17 /srv/a name/tracer", true),
            ("1000-3000 r--p 00001000 fe:00 17 /usr/bin/tracer", false),
            ("1000-3000 rwxp 00001000 fe:00 17 /usr/bin/tracer", false),
            ("1000-3000 r-xp 00000000 00:00 0 [vdso]", false),
            ("1000-3000 r-xp 00000000 00:00 0", false),
            ("r-xp", false),
        ];
        for (line, given) in lines {
            assert_eq!(code(line), given.then_some((0x1000, 0x2000)), "{line}");
        }
        give_back();
    }

    #[test]
    fn a_score_is_read_and_taken() {
        let own = OomScore::own().unwrap();
        own.take().unwrap();
        assert_eq!(OomScore::own(), Some(own));
    }
}
