//! A loader that has not read the kernel's type information.

use std::thread;

use aya::EbpfLoader;
use rustix::process::chroot;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Without type information: the programs need none of it but for fentry and fexit.
///
/// The library's loader reads and parses all of it when it is made, before it can be told not to:
/// that took longer than anything else at the start, and 17 MiB. It is made by a thread that does
/// not find the file, therefore. Without the capability for that (`CAP_SYS_CHROOT`) it takes its
/// time.
pub(super) fn without_types<'a>() -> EbpfLoader<'a> {
    let elsewhere = thread::Builder::new()
        .spawn(|| {
            let _ = hide_files();
            EbpfLoader::new()
        })
        .ok()
        .and_then(|thread| thread.join().ok());
    let mut loader = elsewhere.unwrap_or_default();
    loader.btf(None);
    loader
}

/// Has this thread, and no other, find nothing by an absolute path any more.
fn hide_files() -> rustix::io::Result<()> {
    // SAFETY: what the thread no longer shares with others is its root and working directory; file
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
        // Needs a privilege that tests beside the code need not have.
        if let Ok(hidden) = hidden.join().unwrap() {
            assert!(hidden);
        }
        assert!(std::fs::metadata("/proc").is_ok());
    }
}
