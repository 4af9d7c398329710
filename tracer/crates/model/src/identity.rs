//! Who a process is.

use std::fmt;

use crate::time::Timestamp;

/// Process id in the initial pid namespace.
pub type Pid = u32;

/// A process: pid and creation time, because the kernel reuses pids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Process id in the initial pid namespace.
    pub pid: Pid,
    /// Creation time since boot in clock ticks (10 ms), the unit that /proc/PID/stat has.
    pub start_ticks: u64,
}

/// Nanoseconds in a clock tick: USER_HZ is 100 on every architecture the tracer runs on.
const NS_PER_TICK: u64 = 10_000_000;

impl ProcessKey {
    /// From a pid and `task_struct.start_boottime` in nanoseconds.
    pub fn from_ns(pid: Pid, start_ns: u64) -> Self {
        Self {
            pid,
            start_ticks: start_ns / NS_PER_TICK,
        }
    }

    /// Creation time, rounded down to a tick.
    pub fn started(self) -> Timestamp {
        Timestamp(self.start_ticks.saturating_mul(NS_PER_TICK))
    }
}

/// A thread's name as the kernel keeps it: up to 15 bytes, any bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// Takes the first 15 bytes of `name`.
    pub fn new(name: &str) -> Self {
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name.as_bytes()[..len]);
        Self(comm)
    }

    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        &self.0[..len]
    }

    /// Text; bytes that are not UTF-8 are replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

/// Who did something. Hooks: the task that ran when the event happened, where that is meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// Which process.
    pub key: ProcessKey,
    /// Thread id.
    pub tid: Pid,
    /// Thread name.
    pub comm: Comm,
    /// Real user id.
    pub uid: u32,
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}
