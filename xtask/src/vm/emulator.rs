//! The QEMU that runs the guests: the installed one, or a newer one if that can crash kernels.
//!
//! QEMU 7 (Debian bookworm) sometimes crashes a kernel that patches its own text, with `Oops: int3`.
//! The version in bookworm-backports does not. It is unpacked into the cache and needs the libraries
//! of the installed one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::archive::Apt;
use super::mirrors::Mirrors;
use super::software::EMULATOR;
use crate::run;

/// From this version on, QEMU runs every kernel.
const SOUND: u32 = 8;
/// The suite with a newer version, for the release with an older one.
const SUITE: &str = "bookworm-backports";
/// Its packages.
const PACKAGES: [&str; 4] = [
    "qemu-system-x86",
    "qemu-system-common",
    "qemu-system-data",
    "seabios",
];
/// Its folders of firmware, below the folder that it is unpacked to.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
/// Firmware of network cards: QEMU looks for it although guests have no network card.
const CARDS: &str = "/usr/lib/ipxe/qemu";

/// An emulator that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Qemu {
    /// The program.
    pub(super) program: PathBuf,
    /// Its folders of firmware; empty for an installed QEMU, which finds its own.
    pub(super) firmware: Vec<PathBuf>,
    /// Its major version; 0 if unknown.
    major: u32,
}

impl Qemu {
    /// Whether it can crash guests.
    pub(super) fn is_unsound(&self) -> bool {
        self.major < SOUND
    }
}

/// The emulator to use, which is fetched into `cache` if the installed one is too old.
pub(super) fn ready(cache: &Path, mirrors: &Mirrors) -> Result<Qemu> {
    let program = run::find(EMULATOR)
        .with_context(|| format!("{EMULATOR} is not installed; run `cargo xtask setup --vm`"))?;
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
        "  fetch    QEMU (Debian {SUITE}, through apt): version {} is installed, which sometimes crashes kernels",
        installed.major
    );
    match fetch(&folder, mirrors).map(|()| unpacked()) {
        Ok(Some(newer)) => Ok(newer),
        Ok(None) => Ok(kept(
            installed,
            "the fetched one does not run on this system",
        )),
        Err(error) => Ok(kept(installed, &format!("{error:#}"))),
    }
}

/// Warns that the installed emulator may crash guests.
fn kept(installed: Qemu, why: &str) -> Qemu {
    println!(
        "  WARNING  guests run in QEMU {}, which may crash them (`Oops: int3`). No newer one: {why}",
        installed.major
    );
    installed
}

/// The emulator unpacked to `root`, if it is complete and runs.
fn unpacked(root: &Path) -> Option<Qemu> {
    let program = root.join("usr/bin").join(EMULATOR);
    let firmware: Vec<_> = FIRMWARE.iter().map(|folder| root.join(folder)).collect();
    let major = major(&program);
    (major >= SOUND && firmware.iter().all(|folder| folder.is_dir())).then(|| Qemu {
        program,
        firmware: firmware.into_iter().chain([CARDS.into()]).collect(),
        major,
    })
}

fn fetch(folder: &Path, mirrors: &Mirrors) -> Result<()> {
    let apt = Apt::new(&folder.join("apt"), mirrors, SUITE)?;
    let (new, root) = (folder.join("root.new"), folder.join("root"));
    for old in [&new, &root] {
        // Usually it does not exist.
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&new).with_context(|| format!("making {}", new.display()))?;
    for package in PACKAGES {
        apt.unpack(package, &new)?;
    }
    // Renamed last: a folder with this name is complete.
    fs::rename(&new, &root).with_context(|| format!("making {}", root.display()))
}

/// The major version of `program`; 0 if it can't be run.
fn major(program: &Path) -> u32 {
    let text = run::answer(Command::new(program).arg("--version")).unwrap_or_default();
    parse_major(&text).unwrap_or(0)
}

/// `text` is the output of `--version`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split("version ").nth(1)?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_output_of_version() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n";
        assert_eq!(parse_major(debian), Some(10));
        assert_eq!(parse_major("QEMU emulator version 7.2.22\n"), Some(7));
        assert_eq!(parse_major("no such thing"), None);
    }

    #[test]
    fn an_incomplete_emulator_is_not_used() {
        assert_eq!(unpacked(Path::new("/nonexistent")), None);
    }
}
