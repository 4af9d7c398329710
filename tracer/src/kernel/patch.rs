//! Puts into the programs what only this kernel knows: see [`tracer_common::patch`].

use tracer_common::patch::{CAN_CAST, CAST, STRUCT_ID};

/// What casting a pointer takes: type ids of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Of [`tracer_common::patch::FUNCTION`].
    pub function: u32,
    /// Of [`tracer_common::patch::STRUCT`].
    pub structure: u32,
}

/// Operation codes, in the lowest byte of an instruction.
const MOVE_IMMEDIATE: u64 = 0xb7;
const CALL_FUNCTION: u64 = 0x85;
/// A call's source register: the function is one of the kernel's, by type id.
const PSEUDO_KFUNC: u64 = 2 << 12;
/// `r0 = r1`.
const MOVE_R1_TO_R0: u64 = 0x10bf;

/// `r2 = ` the type id, before it is known.
pub(super) const TYPE: u64 = MOVE_IMMEDIATE | 2 << 8 | immediate(STRUCT_ID.cast_unsigned());
/// The call, before it is known of what.
pub(super) const CALL: u64 = CALL_FUNCTION | immediate(CAST.cast_unsigned());
const IMMEDIATE: u64 = immediate(u32::MAX);

/// Where an instruction has its immediate operand.
const fn immediate(value: u32) -> u64 {
    (value as u64) << 32
}

/// Replaces the instructions in question, in an object or a program: calls become calls of the
/// kernel's function, or, when there is none, moves (they are never reached then).
pub(super) fn patch(words: &mut [u64], cast: Option<Cast>) {
    const ASKED: u64 = MOVE_IMMEDIATE | immediate(CAN_CAST.cast_unsigned());
    for word in words {
        let operation = *word & 0xff;
        if operation == CALL_FUNCTION && *word == CALL {
            *word = match cast {
                Some(cast) => CALL_FUNCTION | PSEUDO_KFUNC | immediate(cast.function),
                None => MOVE_R1_TO_R0,
            };
        } else if *word == TYPE {
            *word = *word & !IMMEDIATE | immediate(cast.map_or(0, |cast| cast.structure));
        } else if *word & (IMMEDIATE | 0xff) == ASKED {
            *word = *word & !IMMEDIATE | immediate(u32::from(cast.is_some()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r6 = CAN_CAST`, `r2 = STRUCT_ID`, `call CAST`, and instructions that only look like them.
    const PROGRAM: [u64; 6] = [
        0x5ca5_7001_0000_06b7,
        0x5ca5_7002_0000_02b7,
        0x5ca5_7003_0000_0085,
        0x5ca5_7001_0000_0618,
        0x5ca5_7003_0000_02b7,
        0x0000_0001_0000_0085,
    ];

    #[test]
    fn calls_become_calls_of_the_kernels_function() {
        let mut program = PROGRAM;
        let cast = Cast {
            function: 0x1_2345,
            structure: 0x67,
        };
        patch(&mut program, Some(cast));
        assert_eq!(
            program[..3],
            [
                0x0000_0001_0000_06b7,
                0x0000_0067_0000_02b7,
                0x0001_2345_0000_2085
            ]
        );
        assert_eq!(program[3..], PROGRAM[3..]);
    }

    #[test]
    fn without_the_function_nothing_is_left_of_the_calls() {
        let mut program = PROGRAM;
        patch(&mut program, None);
        assert_eq!(
            program[..3],
            [0x0000_0000_0000_06b7, 0x0000_0000_0000_02b7, 0x10bf]
        );
        assert_eq!(program[3..], PROGRAM[3..]);
    }
}
