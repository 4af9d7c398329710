//! Makes aya's `EbpfLoader` without reading the kernel's type information.

use std::thread;

use aya::EbpfLoader;
use rustix::process::chroot;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A loader without the kernel's type information, which only fentry and fexit programs need.
///
/// `EbpfLoader::new` reads and parses all of it, before it can be configured not to: this used to take
/// longer than anything else at the start, and 17 MiB. So a thread that cannot find the file makes
/// the loader. Without the capability that this needs (`CAP_SYS_CHROOT`), the loader is only slower.
pub(super) fn without_types<'a>() -> EbpfLoader<'a> {
    let loader = thread::Builder::new()
        .spawn(|| {
            let _ = hide_files();
            EbpfLoader::new()
        })
        .ok()
        .and_then(|thread| thread.join().ok());
    let mut loader = loader.unwrap_or_default();
    loader.btf(None);
    loader
}

/// From now on this thread, and no other, finds nothing by an absolute path.
fn hide_files() -> rustix::io::Result<()> {
    // SAFETY: the thread stops sharing only its root and working directory with others; file
    // descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::FS) }?;
    chroot("/sys/kernel/btf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_hides_files_does_not_find_them() {
        let hidden = thread::spawn(|| hide_files().map(|()| std::fs::metadata("/proc").is_err()));
        // Needs a privilege that unit tests need not have.
        if let Ok(hidden) = hidden.join().unwrap() {
            assert!(hidden);
        }
        assert!(std::fs::metadata("/proc").is_ok());
    }
}
