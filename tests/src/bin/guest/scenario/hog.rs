//! A program that needs too much memory.

/// A program for `python3 -c` that takes `mib` MiB and uses them, then sleeps.
pub fn hog(mib: u32) -> String {
    // In pieces: what is more than the machine has is refused in one. Touching pages: copying
    // would thrash for many seconds before the kernel gives up.
    format!(
        "import time; hoard = [bytearray(8 << 20) for _ in range({mib} // 8)]; \
         [piece.__setitem__(page, 1) for piece in hoard for page in range(0, 8 << 20, 4096)]; \
         time.sleep(999)"
    )
}
