//! The first bytes of HTTP/1 messages: what they are, and copying them.

use core::mem::MaybeUninit;

/// Where payload can be copied from.
pub trait Payload {
    /// Its length in bytes.
    fn len(&self) -> u32;

    /// Copies `len` bytes from `offset` on; false when that fails.
    ///
    /// # Safety
    ///
    /// `to` must have room for `len` bytes.
    unsafe fn copy(&self, offset: u32, to: *mut u8, len: u32) -> bool;
}

/// The first bytes of a payload, up to the end of a status code. Of a shorter payload only the
/// first byte; the rest is zero. As words in the order of memory, because words compare at once.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct First {
    words: [u32; 3],
}

impl First {
    /// The bytes at `offset` of a payload; None when they can't be copied.
    #[inline(always)]
    pub fn of(payload: &impl Payload, offset: u32) -> Option<Self> {
        const LEN: u32 = size_of::<First>() as u32;
        let mut first = MaybeUninit::<Self>::uninit();
        let words = first.as_mut_ptr().cast::<u32>();
        for word in 0..size_of::<Self>() / size_of::<u32>() {
            // SAFETY: inside of the value. Volatile, or the compiler calls a loop over its bytes.
            unsafe { words.add(word).write_volatile(0) };
        }
        let len = if payload.len() >= offset + LEN {
            LEN
        } else {
            1
        };
        // SAFETY: there is room for either length; all words were written.
        unsafe {
            payload
                .copy(offset, words.cast(), len)
                .then(|| first.assume_init())
        }
    }

    #[inline(always)]
    pub fn byte(&self, index: usize) -> u8 {
        self.words[index / 4].to_ne_bytes()[index % 4]
    }

    /// Whether it may be the beginning of a request: any token in upper case.
    #[inline(always)]
    pub fn may_be_request(&self) -> bool {
        self.byte(0).is_ascii_uppercase() && !self.is_response()
    }

    /// Whether it begins with one of the usual methods.
    #[inline(always)]
    pub fn has_method(&self) -> bool {
        [
            b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI",
        ]
        .into_iter()
        .any(|method| self.begins_with(*method))
    }

    /// Whether it begins like `PRI * HTTP/2.0`.
    #[inline(always)]
    pub fn is_http2_preface(&self) -> bool {
        self.begins_with(*b"PRI ")
    }

    /// Whether it begins like a status line.
    #[inline(always)]
    pub fn is_response(&self) -> bool {
        let version = u32::from_ne_bytes(*b"/1.\0");
        let all_but_last = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
        self.begins_with(*b"HTTP") && self.words[1] & all_but_last == version
    }

    /// The status code of a status line.
    #[inline(always)]
    pub fn status(&self) -> Option<u32> {
        let digit = |index| u32::from(self.byte(index).wrapping_sub(b'0'));
        let (hundreds, tens, ones) = (digit(9), digit(10), digit(11));
        (hundreds < 10 && tens < 10 && ones < 10).then_some(hundreds * 100 + tens * 10 + ones)
    }

    #[inline(always)]
    fn begins_with(&self, four: [u8; 4]) -> bool {
        self.words[0] == u32::from_ne_bytes(four)
    }
}

/// `len`, which is not 0, or `MAX`, a power of two, when that is less; written so that every
/// kernel's verifier sees the bound.
#[inline(always)]
pub fn within<const MAX: u32>(len: u32) -> u32 {
    let less = opaque(if len > MAX { MAX } else { len });
    (less.wrapping_sub(1) & (MAX - 1)) + 1
}

/// `value`, with its known bounds hidden from the compiler, so that the compiler does not optimise
/// away a check that the verifier needs.
#[inline(always)]
pub fn opaque(value: u32) -> u32 {
    #[cfg_attr(
        not(target_arch = "bpf"),
        expect(unused_mut, reason = "for lints on the host")
    )]
    let mut value = u64::from(value);
    #[cfg(target_arch = "bpf")]
    // SAFETY: a register is copied to itself.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack));
    }
    value as u32
}
