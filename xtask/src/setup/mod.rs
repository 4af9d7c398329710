//! `cargo xtask setup`: installs what is missing, says what was found.
//!
//! The other verbs call it first. It deliberately installs no Rust toolchain through rustup: which
//! ones a developer keeps is theirs to decide.

use std::process::ExitCode;

use anyhow::Result;

mod deny;
mod linker;
mod machines;
mod software;
mod toolchain;

pub(crate) use deny::ready as lint_tools;
pub(crate) use software::cache as test_cache;

/// What to set up beyond the build.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Args {
    /// Also what the tests need: nginx, Apache, HAProxy, Caddy, PHP-FPM, supervisor, runit, s6,
    /// node, pm2, iproute2, curl, openssl
    #[arg(long)]
    tests: bool,
    /// Also what virtual machines need: QEMU, mmdebstrap
    #[arg(long)]
    vm: bool,
    /// Also what the lints need: cargo-deny, rustfmt, clippy
    #[arg(long)]
    lint: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    build()?;
    if args.tests {
        tests()?;
    }
    if args.vm {
        machines()?;
    }
    if args.lint {
        lint_tools()?;
    }
    println!("set-up is complete");
    Ok(ExitCode::SUCCESS)
}

/// What the build needs: a compiler for the BPF target, and a linker that reads its bitcode.
pub(crate) fn build() -> Result<()> {
    println!("set-up for the build:");
    let toolchain = toolchain::ready()?;
    linker::ready(&toolchain)
}

/// What the tests need.
pub(crate) fn tests() -> Result<()> {
    println!("set-up for the tests:");
    software::ready()
}

/// What virtual machines need.
pub(crate) fn machines() -> Result<()> {
    println!("set-up for virtual machines:");
    machines::ready()
}

/// Says that `what` needs nothing more.
fn found(what: &str, detail: &str) {
    println!("  ok       {what:<14} {detail}");
}

/// A version's leading numbers, for comparing: `22.1.8-rc1` is `[22, 1, 8]`.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split(['.', '-', '+', '~'])
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(numbers("1.97.0-nightly"), [1, 97, 0]);
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("0.9.15") < numbers("0.13.0"));
        assert!(numbers("garbage").is_empty());
    }
}
