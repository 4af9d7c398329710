//! Patches into the programs what differs between kernels: see [`tracer_common::patch`].

use std::ops::Range;

use tracer_common::patch::{CAN_CAST, CAST, STRUCT_ID};

/// The type ids of the running kernel that casting a pointer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The id of [`tracer_common::patch::FUNCTION`].
    pub function: u32,
    /// The id of [`tracer_common::patch::STRUCT`].
    pub structure: u32,
}

/// Operation codes, in the lowest byte of an instruction.
const MOVE_IMMEDIATE: u64 = 0xb7;
const CALL_FUNCTION: u64 = 0x85;
/// In the source register of a call: calls a kernel function, by its type id.
const PSEUDO_KFUNC: u64 = 2 << 12;
/// `r0 = r1`.
const MOVE_R1_TO_R0: u64 = 0x10bf;

/// `r2 = type id`, as a placeholder.
pub(super) const TYPE: u64 = MOVE_IMMEDIATE | 2 << 8 | immediate(STRUCT_ID.cast_unsigned());
/// The call, as a placeholder.
pub(super) const CALL: u64 = CALL_FUNCTION | immediate(CAST.cast_unsigned());
const IMMEDIATE: u64 = immediate(u32::MAX);

/// A value at the place of an instruction's immediate operand.
const fn immediate(value: u32) -> u64 {
    (value as u64) << 32
}

/// Replaces the placeholders in an object or a program. Calls become calls of the kernel function; on a
/// kernel without it they become moves, which are never reached.
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

/// Hides the functions whose names end like this from readers of the object, so that they keep no
/// memory for programs that are never loaded. Anything but a 64-bit little-endian ELF object stays
/// as it is.
pub(super) fn hide_functions(object: &mut [u8], ending: &str) {
    /// Size of a symbol, and the place of the byte with its type, where 0 means no type.
    const SYMBOL: usize = 24;
    const INFO: usize = 4;
    const FUNCTION: u8 = 2;
    const TYPE_OF_SYMBOL: u8 = 0xf;
    let Some((symbols, names)) = symbols(object) else {
        return;
    };
    for at in symbols.step_by(SYMBOL) {
        let info = object.get(at + INFO).copied().unwrap_or_default();
        let name = number(object, at, 4).and_then(|offset| {
            let name = object.get(names.start.checked_add(offset)?..names.end)?;
            name.split(|&byte| byte == 0).next()
        });
        if info & TYPE_OF_SYMBOL == FUNCTION
            && name.is_some_and(|name| name.ends_with(ending.as_bytes()))
        {
            object[at + INFO] = info & !TYPE_OF_SYMBOL;
        }
    }
}

/// The places of an object's symbols and of their names.
fn symbols(object: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    /// In the header: the place of the section table, the size of an entry, and the number of entries.
    const SECTIONS: usize = 0x28;
    const SECTION_LEN: usize = 0x3a;
    const SECTION_COUNT: usize = 0x3c;
    /// In a section header: type, place, size, and the related section.
    const KIND: usize = 4;
    const OFFSET: usize = 0x18;
    const LEN: usize = 0x20;
    const LINK: usize = 0x28;
    const SYMBOL_TABLE: usize = 2;
    let (table, len) = (
        number(object, SECTIONS, 8)?,
        number(object, SECTION_LEN, 2)?,
    );
    let section = |index: usize| table.checked_add(index.checked_mul(len)?);
    let range = |section: usize| {
        let field = |at| number(object, section.checked_add(at)?, 8);
        let start = field(OFFSET)?;
        let end = start.checked_add(field(LEN)?)?;
        (end <= object.len()).then_some(start..end)
    };
    let symbols = (0..number(object, SECTION_COUNT, 2)?)
        .filter_map(section)
        .find(|at| {
            let kind = at.checked_add(KIND).and_then(|at| number(object, at, 4));
            kind == Some(SYMBOL_TABLE)
        })?;
    let names = section(number(object, symbols.checked_add(LINK)?, 4)?)?;
    Some((range(symbols)?, range(names)?))
}

/// A number of `len` bytes.
fn number(object: &[u8], at: usize, len: usize) -> Option<usize> {
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(object.get(at..at.checked_add(len)?)?);
    usize::try_from(u64::from_le_bytes(bytes)).ok()
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
    fn placeholders_become_calls_of_the_kernel_function() {
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
    fn without_the_kernel_function_no_call_is_left() {
        let mut program = PROGRAM;
        patch(&mut program, None);
        assert_eq!(
            program[..3],
            [0x0000_0000_0000_06b7, 0x0000_0000_0000_02b7, 0x10bf]
        );
        assert_eq!(program[3..], PROGRAM[3..]);
    }

    /// An object with nothing but names: of two functions, and of a variable that is named alike.
    fn object() -> Vec<u8> {
        let names = b"\0exit\0exit_second\0not_second\0";
        let symbols: [(u32, u8); 3] = [(1, 0x12), (6, 0x12), (18, 0x11)];
        let mut object = vec![0; 64];
        for (name, info) in symbols {
            object.extend(name.to_le_bytes());
            object.push(info);
            object.extend([0; 19]);
        }
        object.extend(names);
        let table = object.len();
        for (kind, offset, len) in [(2u32, 64usize, 3 * 24), (3, 64 + 3 * 24, names.len())] {
            let mut section = [0; 64];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[0x18..0x20].copy_from_slice(&offset.to_le_bytes());
            section[0x20..0x28].copy_from_slice(&len.to_le_bytes());
            section[0x28] = 1;
            object.extend(section);
        }
        object[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        (object[0x3a], object[0x3c]) = (64, 2);
        object
    }

    #[test]
    fn functions_are_hidden_by_the_end_of_their_names() {
        let mut left = object();
        hide_functions(&mut left, "_second");
        let mut expected = object();
        expected[64 + 24 + 4] = 0x10;
        assert_eq!(left, expected);
    }

    #[test]
    fn what_is_not_a_complete_object_stays_as_it_is() {
        // Nothing after the size in the last section header is read.
        for len in 0..object().len() - 0x18 {
            let mut cut = object();
            cut.truncate(len);
            let before = cut.clone();
            hide_functions(&mut cut, "_second");
            assert_eq!(cut, before, "{len}");
        }
        let mut noise = vec![0xff; 200];
        hide_functions(&mut noise, "_second");
        assert_eq!(noise, [0xff; 200]);
    }
}
