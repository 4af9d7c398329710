//! The tracer's own memory: returns what only start-up needed, keeps the rest resident when the
//! machine runs out of memory, and lets the kernel kill others first.

use std::fs;
use std::io;

use rustix::mm::{Advice, MlockAllFlags, madvise, mlockall};

/// Of -1000 to 1000. The tracer is killed only after everybody else, or when it has grown to nine
/// tenths of the machine itself, which must never happen.
const STANDS_LAST: i32 = -900;
const OWN_SCORE: &str = "/proc/self/oom_score_adj";

/// How eager the OOM killer is to kill a process; its children inherit the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScore(i32);

impl OomScore {
    /// The score of this process; None where /proc does not show it.
    pub fn own() -> Option<Self> {
        fs::read_to_string(OWN_SCORE)
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Self)
    }

    /// Applies the score to this process. Allocates nothing, so that it may run between fork and exec.
    ///
    /// # Errors
    ///
    /// Lowering needs `CAP_SYS_RESOURCE`.
    pub fn apply(self) -> io::Result<()> {
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

/// Has the kernel kill others first, as far as the tracer's privileges allow. A score that was set
/// before (`OOMScoreAdjust=`) stays when it is lower.
pub fn stand_last() {
    if OomScore::own().is_some_and(|own| own.0 > STANDS_LAST) {
        // Without the capability the default stays; the tracer is small.
        let _ = OomScore(STANDS_LAST).apply();
    }
}

/// Makes all threads share one heap: few of them allocate at the same time, and each can use what
/// another has freed.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a parameter of the allocator; no pointer is involved.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns to the machine what only start-up needed: megabytes of heap (the kernel's types, /proc),
/// and code that does not run again.
pub fn give_back() {
    trim();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code) {
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the mapping is of a file and can't be written, so each page is read from the file
        // again, unchanged, when it is used. A failure leaves the pages where they are.
        let _ = unsafe { madvise(start, length, Advice::LinuxDontNeed) };
    }
}

/// Start and length of a mapping of code, from a line of /proc/self/maps. Other read-only mappings may
/// have been written to while they were relocated: their contents are in no file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut parts = line.split_ascii_whitespace();
    let (start, end) = parts.next()?.split_once('-')?;
    let is_code = parts.next()? == "r-xp";
    let is_file = parts.nth(3).is_some_and(|path| path.starts_with('/'));
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    (is_code && is_file).then(|| (start, end.saturating_sub(start)))
}

/// Returns the heap that a storm needed, as far as it is not locked.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free memory of the allocator only; no pointer in use is affected.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Locks what is in memory now, and what is used later of what is mapped now: code, tables, rings. A
/// machine that thrashes drops the code of its programs first, and a tracer that has to read itself
/// back from the disk reports a death when the outage is over.
pub fn stay_resident() {
    // Above RLIMIT_MEMLOCK, and without CAP_IPC_LOCK, the kernel refuses all of it.
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_that_is_in_a_file_is_returned() {
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
    fn a_score_is_read_and_applied() {
        let own = OomScore::own().unwrap();
        own.apply().unwrap();
        assert_eq!(OomScore::own(), Some(own));
    }
}
