//! Reading kernel memory by address and offset.
//!
//! From 6.2 on with plain loads, where the kernel allows it: the address is cast to a pointer that
//! the verifier lets programs read through, and a load that faults gives zeroes. Elsewhere through a
//! helper, which costs a call and a copy per read, and fills in zeroes as well. The loader decides,
//! see [`tracer_common::patch`]; the verifier removes the code for the other way.
//!
//! A read that fails gives zeroes, so a chain of reads from a null pointer ends in zero. The caller
//! decides what a zero means.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated;
#[cfg(target_arch = "bpf")]
use tracer_common::patch;

/// Types for which any bytes are a value.
///
/// # Safety
///
/// Every bit pattern of the type's size must be a valid value of it.
pub unsafe trait Plain: Copy {
    /// The value at a pointer, in loads of at most a word.
    ///
    /// # Safety
    ///
    /// The verifier must let the program read there. The pointer may be unaligned: the machines that
    /// BPF runs on load words from anywhere.
    unsafe fn load(pointer: u64) -> Self;
}

macro_rules! plain {
    ($($ty:ty),* $(,)?) => {
        $(
            // SAFETY: integers have no invalid bit patterns.
            unsafe impl Plain for $ty {
                #[inline(always)]
                unsafe fn load(pointer: u64) -> Self {
                    // SAFETY: as promised by the caller. Volatile, because the kernel changes that memory.
                    unsafe { (pointer as *const Self).read_volatile() }
                }
            }
        )*
    };
}

plain!(u8, u16, u32, u64, i64);

// SAFETY: arrays of integers have no invalid bit patterns.
unsafe impl Plain for [u8; 16] {
    #[inline(always)]
    unsafe fn load(pointer: u64) -> Self {
        let words = pointer as *const u64;
        // SAFETY: as promised by the caller; two words are sixteen bytes.
        unsafe { core::mem::transmute([words.read_volatile(), words.add(1).read_volatile()]) }
    }
}

/// An address in kernel memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    pub fn is_null(self) -> bool {
        self == Self::NULL
    }

    /// `offset` bytes further on. From a null address, reads there fail.
    #[inline(always)]
    pub fn at(self, offset: u32) -> Self {
        Self(self.0.wrapping_add(u64::from(offset)))
    }

    /// The value here; zero when it can't be read.
    #[inline(always)]
    pub fn read<T: Plain>(self) -> T {
        if can_cast() {
            // SAFETY: the verifier makes loads of the pointer safe.
            return unsafe { T::load(self.cast()) };
        }
        let mut value = MaybeUninit::uninit();
        // SAFETY: there is room for a `T`, any bytes are a valid one, and the helper writes them all,
        // even when it fails.
        unsafe {
            self.probe(value.as_mut_ptr());
            value.assume_init()
        }
    }

    /// Copies the value `offset` bytes further on to `to`, without using the stack; zeroes when it
    /// can't be read.
    ///
    /// # Safety
    ///
    /// `to` must have room for it.
    #[inline(always)]
    pub unsafe fn copy_at<T: Plain>(self, offset: u32, to: *mut T) {
        let from = self.at(offset);
        // SAFETY: as promised by the caller; any bytes are a valid `T`. The verifier makes loads of
        // the pointer safe.
        unsafe {
            if can_cast() {
                to.write(T::load(from.cast()));
            } else {
                from.probe(to);
            }
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

    /// Copies through the helper.
    ///
    /// # Safety
    ///
    /// `to` must have room.
    #[inline(always)]
    unsafe fn probe<T: Plain>(self, to: *mut T) {
        // SAFETY: as promised by the caller.
        unsafe {
            generated::bpf_probe_read_kernel(
                to.cast::<c_void>(),
                size_of::<T>() as u32,
                self.0 as *const c_void,
            );
        }
    }

    /// As a pointer that may be read through; only where [`can_cast`] is true.
    #[inline(always)]
    fn cast(self) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let pointer: u64;
            // SAFETY: a call without effects, which the loader and the verifier turn into a move;
            // the registers that a call may change are declared.
            unsafe {
                core::arch::asm!(
                    "r2 = {struct_id}",
                    "call {cast}",
                    struct_id = const patch::STRUCT_ID,
                    cast = const patch::CAST,
                    inlateout("r1") self.0 => _,
                    lateout("r0") pointer,
                    lateout("r2") _,
                    lateout("r3") _,
                    lateout("r4") _,
                    lateout("r5") _,
                    options(nomem, nostack),
                );
            }
            pointer
        }
        // For lints on the host only.
        #[cfg(not(target_arch = "bpf"))]
        {
            self.0
        }
    }
}

/// Whether [`Address::cast`] may be used: a constant for the verifier.
#[inline(always)]
fn can_cast() -> bool {
    #[cfg(target_arch = "bpf")]
    {
        let can: u64;
        // SAFETY: sets nothing but its operand.
        unsafe {
            core::arch::asm!(
                "{can} = {can_cast}",
                can = out(reg) can,
                can_cast = const patch::CAN_CAST,
                options(nomem, nostack),
            );
        }
        can != 0
    }
    // For lints on the host only.
    #[cfg(not(target_arch = "bpf"))]
    false
}
