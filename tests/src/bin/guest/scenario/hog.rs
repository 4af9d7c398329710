//! A program that needs too much memory.

/// A program for `python3 -c` that allocates `mib` MiB, uses them, and sleeps.
pub fn hog(mib: u32) -> String {
    // In pieces, because one allocation larger than the machine's memory is refused. It touches
    // pages, because copying would thrash for many seconds before the kernel kills a process.
    format!(
        "import time; hoard = [bytearray(8 << 20) for _ in range({mib} // 8)]; \
         [piece.__setitem__(page, 1) for piece in hoard for page in range(0, 8 << 20, 4096)]; \
         time.sleep(999)"
    )
}
