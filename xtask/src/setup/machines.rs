//! What virtual machines need: an emulator, and what makes their disks.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::found;
use crate::{debian, run, vm};

/// Programs, and Debian's packages for them.
const PROGRAMS: [(&str, &str); 4] = [
    (vm::EMULATOR, "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("setpriv", "util-linux"),
];

/// Packages that have to be of the emulator's age: apt does not take them from a release that is
/// pinned low by itself.
const WITH_EMULATOR: [&str; 3] = ["qemu-system-common", "qemu-system-data", "seabios"];

/// Makes sure that all of it is there.
pub(super) fn ready() -> Result<()> {
    let keyring = Path::new(vm::KEYRING);
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| run::find(program).is_none())
        .collect();
    if !missing.is_empty() || !keyring.is_file() {
        if !debian::present() {
            let names: Vec<_> = PROGRAMS.iter().map(|&(program, _)| program).collect();
            bail!(
                "virtual machines need {} and Debian's keyring in {}, and this system has no apt \
                 to install them with (nor to fetch the guests' kernels with)",
                names.join(", "),
                keyring.display()
            );
        }
        debian::update()?;
        let mut packages = vec!["debian-archive-keyring".to_owned()];
        for &&(program, package) in &missing {
            if program == vm::EMULATOR {
                packages.extend(emulator());
            } else {
                packages.push(package.to_owned());
            }
        }
        debian::install(&packages)?;
    }
    for (program, package) in PROGRAMS {
        let path = run::find(program)
            .with_context(|| format!("{package} was installed, but {program} was not found"))?;
        found(program, &path.display().to_string());
    }
    Ok(())
}

/// The emulator, as new as the sources have it: bookworm's own sometimes breaks kernels.
fn emulator() -> Vec<String> {
    let newest = |package: &str| match debian::newest(package) {
        Some(version) => format!("{package}={version}"),
        None => package.to_owned(),
    };
    ["qemu-system-x86"]
        .into_iter()
        .chain(WITH_EMULATOR)
        .map(newest)
        .chain(["ipxe-qemu".to_owned()])
        .collect()
}
