//! Exit status.

/// A wait status, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit() with this status.
    Code(u8),
    /// This signal killed it.
    Signal {
        /// Signal number.
        signal: u8,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
}

impl ExitStatus {
    /// From the kernel's encoding: signal in the low 7 bits, 0x80 core dumped, status in the next byte.
    pub fn from_wait_status(status: u32) -> Self {
        let [low, code, _, _] = status.to_le_bytes();
        match low & 0x7f {
            0 => Self::Code(code),
            signal => Self::Signal {
                signal,
                core_dumped: low & 0x80 != 0,
            },
        }
    }

    /// The signal that killed the process, if any.
    pub fn signal(self) -> Option<u8> {
        match self {
            Self::Signal { signal, .. } => Some(signal),
            Self::Code(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_decode_to_codes_and_signals() {
        let signal = |signal, core_dumped| ExitStatus::Signal {
            signal,
            core_dumped,
        };
        for (raw, want) in [
            (0x0000, ExitStatus::Code(0)),
            (0x0100, ExitStatus::Code(1)),
            (0x8900, ExitStatus::Code(137)),
            (0xff00, ExitStatus::Code(255)),
            (0x0009, signal(9, false)),
            (0x000f, signal(15, false)),
            (0x008b, signal(11, true)),
            (0x0086, signal(6, true)),
        ] {
            assert_eq!(ExitStatus::from_wait_status(raw), want, "{raw:#x}");
        }
    }
}
