//! Finds places in x86-64 code where a probe costs little.
//!
//! The kernel executes an instruction that a probe has replaced out of line, and needs a second
//! exception to come back; in virtual machines that exception can cost ten times as much as all the
//! rest. Some instructions it emulates instead: pushes, nops, relative jumps and calls. So a probe
//! is best put on the first of those, provided that no earlier instruction changes the arguments.

/// Instructions that compilers put at the beginning of functions, and that change no argument (rdi,
/// rsi, rdx, rcx). None stands for any byte.
const HARMLESS: [&[Option<u8>]; 8] = [
    // endbr64
    &[Some(0xf3), Some(0x0f), Some(0x1e), Some(0xfa)],
    // sub $imm8, %rsp
    &[Some(0x48), Some(0x83), Some(0xec), None],
    // sub $imm32, %rsp
    &[Some(0x48), Some(0x81), Some(0xec), None, None, None, None],
    // mov %fs:0x28, %rax
    &[
        Some(0x64),
        Some(0x48),
        Some(0x8b),
        Some(0x04),
        Some(0x25),
        Some(0x28),
        Some(0),
        Some(0),
        Some(0),
    ],
    // mov %rax, disp8(%rsp)
    &[Some(0x48), Some(0x89), Some(0x44), Some(0x24), None],
    // xor %eax, %eax
    &[Some(0x31), Some(0xc0)],
    // test %edx, %edx
    &[Some(0x85), Some(0xd2)],
    // test %rdi, %rdi
    &[Some(0x48), Some(0x85), Some(0xff)],
];

/// The place in a function's code where a probe costs least; 0, its beginning, when no better one is
/// known.
pub(super) fn cheap_place(code: &[u8]) -> u64 {
    let mut at = 0;
    loop {
        let rest = code.get(at..).unwrap_or_default();
        if is_emulated(rest) {
            return at as u64;
        }
        let fits = |form: &&&[Option<u8>]| {
            rest.len() >= form.len()
                && form
                    .iter()
                    .zip(rest)
                    .all(|(want, byte)| want.is_none_or(|want| want == *byte))
        };
        match HARMLESS.iter().find(fits) {
            Some(form) => at += form.len(),
            None => return 0,
        }
    }
}

/// Whether `code` begins with an instruction that every kernel since 5.10 emulates: a push, a nop, a
/// relative jump or a relative call.
pub(super) fn is_emulated(code: &[u8]) -> bool {
    is_push(code)
        || matches!(
            code,
            [0x90 | 0x70..=0x7f | 0xeb | 0xe9 | 0xe8, ..] | [0x0f, 0x80..=0x8f, ..]
        )
}

/// Whether `code` begins by pushing a register, as all but small functions do.
pub(super) fn is_push(code: &[u8]) -> bool {
    matches!(code, [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..])
}

/// The offsets of the functions that code at `offset` calls. Bytes that only look like a relative call
/// are included.
pub(super) fn calls(code: &[u8], offset: u64) -> impl Iterator<Item = u64> {
    code.windows(5).enumerate().filter_map(move |(at, bytes)| {
        let [0xe8, distance @ ..] = bytes else {
            return None;
        };
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        let next = offset.checked_add(at as u64 + 5)?;
        next.checked_add_signed(distance.into())
    })
}
