//! Signal names.

use std::fmt;

/// A signal number that displays as its name: `SIGKILL`, `SIGRTMIN+2`, `signal 99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(pub u32);

/// The signal that no process can catch.
pub const SIGKILL: u8 = 9;
/// `si_code` of a signal from the kernel itself.
pub const SI_KERNEL: i32 = 0x80;

const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n @ 1..=31 => write!(f, "SIG{}", NAMES[n as usize]),
            // The C libraries keep the first two real-time signals (32, 33) for themselves.
            34 => f.write_str("SIGRTMIN"),
            n @ 35..=64 => write!(f, "SIGRTMIN+{}", n - 34),
            n => write!(f, "signal {n}"),
        }
    }
}

/// The number of a signal named as [`SignalName`] displays the standard ones.
pub fn signal_from_name(name: &str) -> Option<u32> {
    let name = name.strip_prefix("SIG")?;
    (1..32u32).find(|&n| NAMES[n as usize] == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names_round_trip() {
        for n in 1..32 {
            assert_eq!(signal_from_name(&SignalName(n).to_string()), Some(n));
        }
        assert_eq!(SignalName(9).to_string(), "SIGKILL");
        assert_eq!(SignalName(36).to_string(), "SIGRTMIN+2");
        assert_eq!(SignalName(99).to_string(), "signal 99");
        assert_eq!(signal_from_name("SIGNOPE"), None);
    }
}
