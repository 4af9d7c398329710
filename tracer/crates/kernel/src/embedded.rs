//! The memory of what is embedded in the program: the kernel programs are read once, at the start.

use rustix::mm::{Advice, madvise};

/// Gives back the pages of what is embedded in the program and was read for the last time.
pub(super) fn give_back(bytes: &'static [u8]) {
    let page = rustix::param::page_size();
    let start = bytes.as_ptr().addr().next_multiple_of(page);
    let end = bytes.as_ptr().addr() + bytes.len();
    let Some(length) = end.checked_sub(start).map(|length| length / page * page) else {
        return;
    };
    let offset = start - bytes.as_ptr().addr();
    // SAFETY: whole pages inside of a static without interior mutability or pointers, which is in a
    // part of the file that is mapped and never written: each page is read from the file again when
    // it is used, as it was. A failure leaves the pages where they are.
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
    fn what_is_embedded_can_be_read_again() {
        // More than the kernel maps at once around what somebody reads nearby.
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
        give_back(&EMBEDDED);
        assert!(before > 0 && mapped() < before, "{before} pages");
        assert_eq!(sum(), all);
        give_back(&EMBEDDED[1..3]);
    }
}
