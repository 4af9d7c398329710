//! Packages of Debian and its derivatives: finding and installing them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Installs packages without starting or enabling their services.
const INSTALL: &str = include_str!("apt-install.sh");

/// How many lines of apt's output are shown if it fails.
const LINES_ON_FAILURE: usize = 40;

/// Whether this system has apt.
pub(crate) fn present() -> bool {
    run::find("apt-get").is_some() && run::find("apt-cache").is_some()
}

/// Fetches the lists of packages.
pub(crate) fn update() -> Result<()> {
    run::run(run::as_root("apt-get", &[])?.args(["update", "-q"]))
}

/// Installs `packages` (each a name or `name=version`). Of apt's output only the lines about
/// installed packages are shown; if apt fails, its last lines are shown too.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    println!(
        "  install  {} (Debian packages; their services are not started)",
        packages.join(" ")
    );
    let mut child = run::as_root("sh", &[])?
        .args(["-c", INSTALL, "apt-install"])
        .args(packages)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting apt-get")?;
    let stdout = child.stdout.take().context("apt-get's output")?;
    let mut last = VecDeque::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading apt-get's output")?;
        if line.starts_with("Setting up ") || line.starts_with("disabling ") {
            println!("    {line}");
        }
        if last.len() == LINES_ON_FAILURE {
            last.pop_front();
        }
        last.push_back(line);
    }
    if !child.wait().context("waiting for apt-get")?.success() {
        for line in last {
            println!("    {line}");
        }
        bail!(
            "apt-get could not install {}, see above",
            packages.join(" ")
        );
    }
    Ok(())
}

/// The newest version of `package` in the configured sources, whatever its pin priority.
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
