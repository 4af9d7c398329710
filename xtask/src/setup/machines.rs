//! Software for virtual machines: an emulator, and the programs that make its disks.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::found::found;
use crate::vm::software::{EMULATOR, KEYRING, PROGRAMS};
use crate::{debian, run};

/// Packages whose version must match the emulator's. If their release is pinned low, apt installs
/// them only when they are named.
const WITH_EMULATOR: [&str; 3] = ["qemu-system-common", "qemu-system-data", "seabios"];

/// Installs what is missing.
pub(super) fn ready() -> Result<()> {
    let keyring = Path::new(KEYRING);
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| run::find(program).is_none())
        .collect();
    if !missing.is_empty() || !keyring.is_file() {
        if !debian::present() {
            let names: Vec<_> = PROGRAMS.iter().map(|&(program, _)| program).collect();
            bail!(
                "virtual machines need {}, Debian's keyring in {}, and apt to fetch the guests' \
                 kernels; this system has no apt",
                names.join(", "),
                keyring.display()
            );
        }
        debian::update()?;
        let mut packages = vec!["debian-archive-keyring".to_owned()];
        for &&(program, package) in &missing {
            if program == EMULATOR {
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

/// The emulator's packages in the newest version that the sources have: bookworm's own QEMU
/// sometimes crashes kernels.
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
