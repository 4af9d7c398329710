//! The tools that the lints need: cargo-deny, rustfmt and clippy.

use anyhow::{Context as _, Result};

use super::{found, numbers};
use crate::run;

/// The version that is installed.
const VERSION: &str = "0.20.2";

/// The oldest that reads this workspace's `deny.toml`.
const OLDEST: &str = "0.19.0";

/// Makes sure that the lints' tools are there.
pub(crate) fn ready() -> Result<()> {
    println!("set-up for the lints:");
    for (name, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let version = version(subcommand).with_context(|| {
            format!("`cargo {subcommand}` is missing: rustup component add {name}")
        })?;
        found(name, &version);
    }
    if version("deny").is_none_or(|version| numbers(&version) < numbers(OLDEST)) {
        println!("  install  cargo-deny {VERSION} (builds for about a minute)");
        // Unoptimised it is built in a minute and still checks in a second.
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

/// The version that `cargo <subcommand>` tells about itself.
fn version(subcommand: &str) -> Option<String> {
    let line = run::answer(run::cargo().ok()?.args([subcommand, "--version"]))?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}
