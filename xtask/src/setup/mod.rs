//! `cargo xtask setup`: installs what is missing and lists what it found.
//!
//! The other verbs call it first. It never installs a Rust toolchain through rustup: developers
//! choose their own toolchains.

use std::process::ExitCode;

use anyhow::Result;

mod deny;
mod found;
mod linker;
mod machines;
mod software;
mod toolchain;
mod version;

pub(crate) use deny::ready as lint_tools;
pub(crate) use software::cache as test_cache;

/// What to install besides the tools for building.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Args {
    /// Also install what the tests need: nginx, Apache, HAProxy, Caddy, PHP-FPM, supervisor, runit, s6,
    /// node, pm2, iproute2, curl, openssl
    #[arg(long)]
    tests: bool,
    /// Also install what virtual machines need: QEMU, mmdebstrap
    #[arg(long)]
    vm: bool,
    /// Also install what the lints need: cargo-deny, rustfmt, clippy
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

/// Installs what the build needs: a compiler for the BPF target, and a linker for its bitcode.
pub(crate) fn build() -> Result<()> {
    println!("set-up for the build:");
    let toolchain = toolchain::ready()?;
    linker::ready(&toolchain)
}

/// Installs what the tests need.
pub(crate) fn tests() -> Result<()> {
    println!("set-up for the tests:");
    software::ready()
}

/// Installs what virtual machines need.
pub(crate) fn machines() -> Result<()> {
    println!("set-up for virtual machines:");
    machines::ready()
}
