//! bpf-linker: turns the compiler's bitcode into the object that the kernel loads.
//!
//! bpf-linker contains or loads an LLVM, which must not be older than the compiler's. Its version
//! number does not identify that LLVM, so an installed bpf-linker is tried on a small program.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context as _, Result, bail};

use super::found::found;
use super::toolchain::Toolchain;
use super::version::numbers;
use crate::{debian, run};

/// The version to install, and the oldest accepted.
const VERSION: &str = "0.13.0";

/// The LLVM releases that [`VERSION`] can be built with.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// A small program to link. It is compiled for the host: the trial shows whether the linker can
/// read this compiler's bitcode, and that needs no `core` for the BPF target.
const TRIAL: &str = "#[unsafe(no_mangle)] pub extern \"C\" fn trial(a: &[u64; 4], n: usize) -> u64 \
                     { a.iter().take(n).sum() }\n";

/// Installs bpf-linker if no installed one works with `toolchain`.
pub(super) fn ready(toolchain: &Toolchain) -> Result<()> {
    match unfit(toolchain) {
        None => {}
        Some(why) => {
            println!("  install  bpf-linker {VERSION} ({why})");
            install(toolchain.llvm_major)?;
            if let Some(why) = unfit(toolchain) {
                bail!("bpf-linker was installed, but it still does not work: {why}");
            }
        }
    }
    let version = version().unwrap_or_default();
    found(
        "bpf-linker",
        &format!("{version}, reads LLVM {} bitcode", toolchain.llvm_major),
    );
    Ok(())
}

/// Why the bpf-linker in `PATH` can't be used; `None` if it can.
fn unfit(toolchain: &Toolchain) -> Option<String> {
    let Some(version) = version() else {
        let hint = match in_cargo_home().filter(|path| path.exists()) {
            Some(path) => format!(": add {} to it", path.parent()?.display()),
            None => String::new(),
        };
        return Some(format!("not in PATH{hint}"));
    };
    if numbers(&version) < numbers(VERSION) {
        return Some(format!("{version} is older than {VERSION}"));
    }
    trial(toolchain)
        .err()
        .map(|error| format!("a trial failed: {error:#}"))
}

/// The version of the bpf-linker in `PATH`.
fn version() -> Option<String> {
    let line = run::answer(Command::new("bpf-linker").arg("--version"))?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}

fn in_cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    Some(home.join("bin/bpf-linker"))
}

/// Compiles a small program with `toolchain` and links it.
fn trial(toolchain: &Toolchain) -> Result<()> {
    let folder = env::temp_dir().join(format!("tracer-bpf-linker-trial-{}", process::id()));
    fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    let outcome = trial_in(&folder, toolchain);
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    outcome
}

fn trial_in(folder: &Path, toolchain: &Toolchain) -> Result<()> {
    let source = folder.join("trial.rs");
    fs::write(&source, TRIAL).with_context(|| format!("writing {}", source.display()))?;
    let mut compile = toolchain.command("rustc");
    compile
        .args(["--edition=2024", "--crate-type=lib", "--emit=llvm-bc", "-O"])
        .args(["-Cpanic=abort", "--out-dir"])
        .args([folder, &source]);
    let mut link = Command::new("bpf-linker");
    link.arg("--target=bpfel")
        .arg("--output")
        .args([folder.join("trial.o"), folder.join("trial.bc")]);
    for command in [&mut compile, &mut link] {
        let output = command
            .output()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{}", said.lines().next().unwrap_or("no error message"));
        }
    }
    Ok(())
}

/// Installs [`VERSION`] for bitcode of LLVM `major`.
fn install(major: u32) -> Result<()> {
    if run::find("cargo-binstall").is_some() {
        let exact = format!("bpf-linker@{VERSION}");
        let status =
            run::status(run::cargo()?.args(["binstall", "--no-confirm", "--force", &exact]))?;
        if status.success() {
            return Ok(());
        }
        println!("  cargo binstall failed; building from source");
    }
    if !LLVM.contains(&major) {
        bail!(
            "the BPF toolchain uses LLVM {major}, but bpf-linker {VERSION} can only be built with \
             LLVM {} to {}: choose another toolchain with TRACER_BPF_TOOLCHAIN",
            LLVM.start(),
            LLVM.end()
        );
    }
    let prefix = llvm(major)?;
    let path = env::join_paths(
        std::iter::once(prefix.join("bin"))
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )
    .context("adding the LLVM folder to PATH")?;
    println!("  (takes about a minute to build)");
    run::run(
        run::cargo()?
            .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
            .args(["--force", "--no-default-features", "--features"])
            .arg(format!("llvm-{major}"))
            .env("LLVM_PREFIX", &prefix)
            .env("PATH", path),
    )
}

/// The folder of the development files of LLVM `major`, which are installed if missing.
fn llvm(major: u32) -> Result<PathBuf> {
    if let Some(prefix) = llvm_prefix(major) {
        return Ok(prefix);
    }
    if debian::present() {
        let package = format!("llvm-{major}-dev");
        if debian::newest(&package).is_none() {
            debian::update()?;
        }
        if debian::newest(&package).is_some() {
            debian::install(&[package])?;
        }
    }
    llvm_prefix(major).with_context(|| {
        format!(
            "building bpf-linker needs LLVM {major}, which was not found. Do one of these, then \
             repeat this command:\n  \
             Any distribution: cargo install cargo-binstall (it fetches a prebuilt bpf-linker)\n  \
             Debian, Ubuntu:   apt-get install llvm-{major}-dev (from LLVM's own package \
             repository if the distribution has no such package)\n  \
             Fedora:           dnf install llvm{major}-devel, or llvm-devel if that is {major}\n  \
             Arch Linux:       pacman -S llvm, if that is {major}"
        )
    })
}

/// Where LLVM `major` is installed, according to its `llvm-config`.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let candidates = [
        format!("/usr/lib/llvm-{major}/bin/llvm-config"),
        format!("/usr/lib64/llvm{major}/bin/llvm-config"),
        format!("llvm-config-{major}"),
        "llvm-config".to_owned(),
    ];
    candidates.iter().find_map(|program| {
        let version = run::answer(Command::new(program).arg("--version"))?;
        if numbers(version.trim()).first() != Some(&major) {
            return None;
        }
        let prefix = run::answer(Command::new(program).arg("--prefix"))?;
        Some(PathBuf::from(prefix.trim()))
    })
}
