//! Packages of Debian and its derivatives: what there is to install, and installing it.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run;

/// Installs packages and leaves none of their daemons running or enabled.
const INSTALL: &str = include_str!("apt-install.sh");

/// Whether this system's packages are managed by apt.
pub(crate) fn present() -> bool {
    run::find("apt-get").is_some() && run::find("apt-cache").is_some()
}

/// Fetches the lists of packages.
pub(crate) fn update() -> Result<()> {
    run::run(run::as_root("apt-get", &[])?.args(["update", "-q"]))
}

/// Installs `packages` (each a name or `name=version`).
pub(crate) fn install(packages: &[String]) -> Result<()> {
    println!(
        "  install  {} (Debian packages; their services are not started)",
        packages.join(" ")
    );
    let status = run::as_root("sh", &[])?
        .args(["-c", INSTALL, "apt-install"])
        .args(packages)
        .status()
        .context("starting apt-get")?;
    anyhow::ensure!(
        status.success(),
        "apt-get could not install {}, see above",
        packages.join(" ")
    );
    Ok(())
}

/// The newest version of `package` that the configured sources have, pinned low or not.
pub(crate) fn newest(package: &str) -> Option<String> {
    let table = run::answer(Command::new("apt-cache").args(["madison", package]))?;
    // "name | version | source", newest first.
    let version = table.lines().next()?.split('|').nth(1)?.trim();
    Some(version.to_owned())
}

/// The names of packages that match the regular expression `name`.
pub(crate) fn named(name: &str) -> Vec<String> {
    let listing = run::answer(Command::new("apt-cache").args(["search", "--names-only", name]));
    listing
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .map(|(name, _)| name.to_owned())
        .collect()
}
