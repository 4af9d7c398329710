//! The programs that virtual machines need on this machine, and Debian's packages for them.

use anyhow::{Result, bail};

use crate::run;

/// The emulator.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";

/// Programs, and Debian's packages for them.
pub(crate) const PROGRAMS: [(&str, &str); 6] = [
    (EMULATOR, "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("setpriv", "util-linux"),
    ("flock", "util-linux"),
    ("unshare", "util-linux"),
];

/// Debian's keys, from the package debian-archive-keyring.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fails if one of the programs is missing, and says what to do.
pub(super) fn check() -> Result<()> {
    for (program, _) in PROGRAMS {
        if run::find(program).is_none() {
            bail!("{program} is not installed; run `cargo xtask setup --vm`");
        }
    }
    Ok(())
}
