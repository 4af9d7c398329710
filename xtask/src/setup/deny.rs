//! The tools for the lints: cargo-deny, rustfmt and clippy.

use anyhow::{Context as _, Result};

use super::found::found;
use super::version::numbers;
use crate::run;

/// The version to install.
const VERSION: &str = "0.20.2";

/// The oldest version that can read this workspace's `deny.toml`.
const OLDEST: &str = "0.19.0";

/// Installs cargo-deny if needed and checks that all tools run.
pub(crate) fn ready() -> Result<()> {
    println!("set-up for the lints:");
    for (name, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let version = version(subcommand).with_context(|| {
            format!("`cargo {subcommand}` is missing: rustup component add {name}")
        })?;
        found(name, &version);
    }
    if version("deny").is_none_or(|version| numbers(&version) < numbers(OLDEST)) {
        println!("  install  cargo-deny {VERSION} (takes about a minute to build)");
        // An unoptimised build takes a minute and still checks in a second.
        run::run(
            run::cargo()?
                .args(["install", "cargo-deny", "--version", VERSION])
                .args(["--locked", "--debug", "--force"])
                .env("CARGO_PROFILE_DEV_DEBUG", "0"),
        )?;
    }
    let version = version("deny").context("cargo-deny was installed, but `cargo deny` fails")?;
    found("cargo-deny", &version);
    Ok(())
}

/// The version that `cargo <subcommand> --version` prints.
fn version(subcommand: &str) -> Option<String> {
    let line = run::answer(run::cargo().ok()?.args([subcommand, "--version"]))?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}
