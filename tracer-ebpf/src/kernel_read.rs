//! Reading kernel memory by address and offset.
//!
//! A read that fails gives zeroes: the helper fills them in, and an absent pointer is a null
//! pointer all the way down. What a zero means is the caller's matter.

use core::ffi::c_void;

use aya_ebpf::helpers::generated;

/// Types for which any bytes, all zeroes included, are a value.
///
/// # Safety
///
/// Every bit pattern of the type's size must be a valid value of it.
pub unsafe trait Plain: Copy {
    /// All bytes zero.
    const ZERO: Self;
}

macro_rules! plain {
    ($($ty:ty = $zero:expr),* $(,)?) => {
        $(
            // SAFETY: integers and arrays of integers have no invalid bit patterns.
            unsafe impl Plain for $ty {
                const ZERO: Self = $zero;
            }
        )*
    };
}

plain!(
    u8 = 0,
    u16 = 0,
    u32 = 0,
    u64 = 0,
    i64 = 0,
    [u8; 16] = [0; 16]
);

/// An address in kernel memory; never dereferenced, only read through the helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// Nothing.
    pub const NULL: Self = Self(0);

    pub fn is_null(self) -> bool {
        self == Self::NULL
    }

    /// `offset` bytes further on; nothing from nothing.
    #[inline(always)]
    pub fn at(self, offset: u32) -> Self {
        if self.is_null() {
            return self;
        }
        Self(self.0.wrapping_add(u64::from(offset)))
    }

    /// The value here; zero when it can't be read.
    #[inline(always)]
    pub fn read<T: Plain>(self) -> T {
        let mut value = T::ZERO;
        // SAFETY: `value` has room for its own size, and any bytes are a valid `T`.
        unsafe {
            generated::bpf_probe_read_kernel(
                (&raw mut value).cast::<c_void>(),
                size_of::<T>() as u32,
                self.0 as *const c_void,
            );
        }
        value
    }

    /// Copies the value `offset` bytes further on to `to`, past the stack; zeroes when it can't be
    /// read.
    ///
    /// # Safety
    ///
    /// `to` must have room for it.
    #[inline(always)]
    pub unsafe fn copy_at<T: Plain>(self, offset: u32, to: *mut T) {
        // SAFETY: as promised by the caller; any bytes are a valid `T`.
        unsafe {
            generated::bpf_probe_read_kernel(
                to.cast::<c_void>(),
                size_of::<T>() as u32,
                self.at(offset).0 as *const c_void,
            );
        }
    }

    /// The value `offset` bytes further on.
    #[inline(always)]
    pub fn read_at<T: Plain>(self, offset: u32) -> T {
        self.at(offset).read()
    }

    /// The pointer stored `offset` bytes further on.
    #[inline(always)]
    pub fn follow(self, offset: u32) -> Self {
        Self(self.read_at(offset))
    }
}
