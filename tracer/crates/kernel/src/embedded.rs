//! The memory of the embedded object: the kernel programs are read once, at the start, and need no
//! memory after that.

use rustix::mm::{Advice, madvise};

/// Releases the pages of embedded bytes that were read for the last time.
pub(super) fn release(bytes: &'static [u8]) {
    let page = rustix::param::page_size();
    let start = bytes.as_ptr().addr().next_multiple_of(page);
    let end = bytes.as_ptr().addr() + bytes.len();
    let Some(length) = end.checked_sub(start).map(|length| length / page * page) else {
        return;
    };
    let offset = start - bytes.as_ptr().addr();
    // SAFETY: these are whole pages of a static without interior mutability or pointers, in a mapped
    // part of the file that is never written: when a page is used again, it is read again from the
    // file, unchanged. A failure leaves the pages in memory.
    let _ = unsafe {
        let start = bytes.as_ptr().wrapping_add(offset);
        madvise(start.cast_mut().cast(), length, Advice::LinuxDontNeed)
    };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn released_bytes_can_be_read_again() {
        // More than the kernel maps at once around a page that is read.
        static EMBEDDED: [u8; 256 << 10] = [7; 256 << 10];
        let sum = || EMBEDDED.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let mapped = || {
            let page = rustix::param::page_size();
            let first = EMBEDDED.as_ptr().addr() / page + 1;
            let pagemap = fs::File::open("/proc/self/pagemap").unwrap();
            let mut entry = [0; 8];
            (first..first + EMBEDDED.len() / page - 1)
                .filter(|&page| {
                    pagemap.read_exact_at(&mut entry, page as u64 * 8).unwrap();
                    u64::from_ne_bytes(entry) >> 63 == 1
                })
                .count()
        };
        let all = sum();
        let before = mapped();
        release(&EMBEDDED);
        assert!(before > 0 && mapped() < before, "{before} pages");
        assert_eq!(sum(), all);
        release(&EMBEDDED[1..3]);
    }
}
