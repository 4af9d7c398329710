//! Opens the file with the kernel's type information. It has several megabytes, and is mapped instead
//! of copied where the kernel permits that (6.16 and later).

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The file.
pub(crate) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The bytes of the file.
pub(crate) enum TypeBytes {
    /// The kernel's own pages.
    Mapped(Mapping),
    /// A copy. Reading takes milliseconds, because one read returns 4 KiB at most.
    Copied(Vec<u8>),
}

impl TypeBytes {
    /// Opens and maps or reads [`PATH`].
    pub(crate) fn open() -> io::Result<Self> {
        let mapped = Mapping::of(&File::open(PATH)?);
        mapped.map_or_else(
            |_| fs::read(PATH).map(Self::Copied),
            |it| Ok(Self::Mapped(it)),
        )
    }
}

impl Deref for TypeBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// A mapped file that nobody can write; unmapped when dropped.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn of(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let (read, private) = (ProtFlags::READ, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address that the kernel chooses; it overlaps nothing.
        let start = unsafe { mmap(std::ptr::null_mut(), length, read, private, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for reading as long as this lives, and the kernel's type information does
        // not change.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps the mapping once; no reference to it outlives this.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_and_a_copy_have_the_same_bytes() {
        let mapped = Mapping::of(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(mapped.bytes(), fs::read("/proc/self/exe").unwrap());
    }

    #[test]
    fn type_information_is_read_whether_mapped_or_copied() {
        // A machine that builds the tracer need not have type information.
        match TypeBytes::open() {
            Ok(bytes) => assert_eq!(*bytes, *fs::read(PATH).unwrap()),
            Err(error) => assert_eq!(error.kind(), fs::metadata(PATH).unwrap_err().kind()),
        }
    }
}
