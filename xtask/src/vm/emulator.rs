//! Which QEMU runs the guests: the system's, or a newer one where that is known to break kernels.
//!
//! QEMU 7 (Debian bookworm) sometimes trips over a kernel that patches its own text: the guest dies
//! of `Oops: int3`. Bookworm's backports have one that does not. It is unpacked into the cache, and
//! needs the libraries of the installed one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::archive::Apt;
use crate::run;

/// The emulator's program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// From this version on it runs every kernel.
const SOUND: u32 = 8;
/// Where a newer one is for the release whose own is older.
const SUITE: &str = "bookworm-backports";
/// What it consists of.
const PACKAGES: [&str; 4] = [
    "qemu-system-x86",
    "qemu-system-common",
    "qemu-system-data",
    "seabios",
];
/// Folders of firmware below the root that it was unpacked to.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
/// Firmware of network cards, which it looks for although guests have none.
const CARDS: &str = "/usr/lib/ipxe/qemu";

/// An emulator that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Qemu {
    /// The program.
    pub(super) program: PathBuf,
    /// Where it finds its firmware; nothing for an installed one, which knows.
    pub(super) firmware: Vec<PathBuf>,
    /// Its major version; 0 when it does not tell.
    major: u32,
}

impl Qemu {
    /// Whether guests may die of it.
    pub(super) fn is_unsound(&self) -> bool {
        self.major < SOUND
    }
}

/// The emulator to use, fetched into `cache` where the installed one is too old.
pub(super) fn ready(cache: &Path) -> Result<Qemu> {
    let program = run::find(PROGRAM)
        .with_context(|| format!("{PROGRAM} is not installed; run `cargo xtask setup --vm`"))?;
    let installed = Qemu {
        major: major(&program),
        program,
        firmware: Vec::new(),
    };
    if !installed.is_unsound() {
        return Ok(installed);
    }
    let folder = cache.join("emulator");
    let unpacked = || unpacked(&folder.join("root"));
    if let Some(newer) = unpacked() {
        return Ok(newer);
    }
    println!(
        "  fetch    QEMU (Debian {SUITE}, through apt): the installed one is {}, which breaks kernels now and then",
        installed.major
    );
    match fetch(&folder).map(|()| unpacked()) {
        Ok(Some(newer)) => Ok(newer),
        Ok(None) => Ok(kept(
            installed,
            "what was fetched does not run on this system",
        )),
        Err(error) => Ok(kept(installed, &format!("{error:#}"))),
    }
}

/// Says loudly that guests may die of the emulator.
fn kept(installed: Qemu, why: &str) -> Qemu {
    println!(
        "  WARNING  guests run in QEMU {} and may die of it (`Oops: int3`), for want of a newer one: {why}",
        installed.major
    );
    installed
}

/// What was unpacked to `root`, if it is all there and runs.
fn unpacked(root: &Path) -> Option<Qemu> {
    let program = root.join("usr/bin").join(PROGRAM);
    let firmware: Vec<_> = FIRMWARE.iter().map(|folder| root.join(folder)).collect();
    let major = major(&program);
    (major >= SOUND && firmware.iter().all(|folder| folder.is_dir())).then(|| Qemu {
        program,
        firmware: firmware.into_iter().chain([CARDS.into()]).collect(),
        major,
    })
}

fn fetch(folder: &Path) -> Result<()> {
    let apt = Apt::new(&folder.join("apt"), SUITE)?;
    let (new, root) = (folder.join("root.new"), folder.join("root"));
    for old in [&new, &root] {
        // Mostly there is none.
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&new).with_context(|| format!("making {}", new.display()))?;
    for package in PACKAGES {
        apt.unpack(package, &new)?;
    }
    // Last: what has the name is complete.
    fs::rename(&new, &root).with_context(|| format!("making {}", root.display()))
}

/// The major version that `program` tells; 0 when it can't be run.
fn major(program: &Path) -> u32 {
    let text = run::answer(Command::new(program).arg("--version")).unwrap_or_default();
    parse_major(&text).unwrap_or(0)
}

/// `text` is what `--version` prints.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split("version ").nth(1)?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_emulator_prints() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n";
        assert_eq!(parse_major(debian), Some(10));
        assert_eq!(parse_major("QEMU emulator version 7.2.22\n"), Some(7));
        assert_eq!(parse_major("no such thing"), None);
    }

    #[test]
    fn what_is_not_complete_is_not_used() {
        assert_eq!(unpacked(Path::new("/nonexistent")), None);
    }
}
