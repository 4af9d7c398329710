//! Builds the kernel programs, as an object that `object.rs` embeds.
//!
//! The toolchain is `TRACER_BPF_TOOLCHAIN` when set, else a nightly with rust-src, else the toolchain
//! `bpf` that `cargo xtask setup` links (a distribution's rustc with a prebuilt `core` for the BPF
//! target).

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

const SETUP: &str = "run `cargo xtask setup` to install what building the kernel programs needs";
const PACKAGE: &str = "tracer-ebpf";
/// Lets these two crates, and no other, use an unstable feature (inline assembly for BPF) with a
/// stable toolchain. aya-build takes any value but `1` and the package's name for "no
/// `-Z build-std`", which is right: such a toolchain has a prebuilt `core`.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "aya_ebpf,tracer_ebpf");
/// Set in the second run of this script, see [`rerun`].
const SECOND_RUN: &str = "TRACER_BUILD_SECOND_RUN";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let manifest = env::var("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?;
    let root = Path::new(&manifest).join("../../..");
    for input in ["tracer-common", "tracer-ebpf", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=TRACER_BPF_TOOLCHAIN");

    let toolchain = toolchain()?;
    if !runs("bpf-linker", &["--version"]) {
        bail!("bpf-linker is not installed; {SETUP}");
    }
    if env::var_os(SECOND_RUN).is_none() {
        return rerun(&toolchain);
    }
    let features: &[&str] = if env::var_os("CARGO_FEATURE_KERNEL_LOG").is_some() {
        &["kernel-log"]
    } else {
        &[]
    };
    let ebpf = root.join(PACKAGE);
    aya_build::build_ebpf(
        [Package {
            name: PACKAGE,
            root_dir: ebpf
                .to_str()
                .context("the path of the sources is not UTF-8")?,
            no_default_features: false,
            features,
        }],
        Toolchain::Custom(&toolchain),
    )
    .with_context(|| format!("building {PACKAGE} with toolchain `{toolchain}`; {SETUP}"))?;
    strip()
}

/// Removes what only debuggers need: more than three quarters of the object, which would be part of the
/// tracer's binary and be copied when it starts.
fn strip() -> Result<()> {
    let out = env::var("OUT_DIR").context("cargo sets OUT_DIR")?;
    let path = Path::new(&out).join(PACKAGE);
    let object = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let context = || format!("stripping {}", path.display());
    let mut elf = Builder::read(&*object).with_context(context)?;
    for section in &mut elf.sections {
        let name = section.name.to_string();
        if name.starts_with(".debug") || name.starts_with(".rel.debug") {
            section.delete = true;
        }
    }
    elf.delete_orphans();
    // The linker keeps the names of sections and of symbols in one section.
    let names = elf.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    elf.write(&mut stripped).with_context(context)?;
    fs::write(&path, stripped).with_context(|| format!("writing {}", path.display()))
}

fn toolchain() -> Result<String> {
    if let Ok(chosen) = env::var("TRACER_BPF_TOOLCHAIN") {
        return Ok(chosen);
    }
    if !runs("rustup", &["--version"]) {
        // There is only one toolchain, and aya-build uses it under any name.
        return if has_prebuilt_core() {
            Ok("rustc".to_owned())
        } else {
            bail!("rustc has no `core` for the BPF target; {SETUP}")
        };
    }
    for candidate in ["nightly", "bpf"] {
        let usable = match candidate {
            "nightly" => has_rust_src(candidate),
            _ => runs("rustup", &["run", candidate, "rustc", "--version"]),
        };
        if usable {
            return Ok(candidate.to_owned());
        }
    }
    bail!("no Rust toolchain can build for the BPF target; {SETUP}")
}

/// Whether `toolchain` has the sources of `core`, and so can build it for any target.
fn has_rust_src(toolchain: &str) -> bool {
    Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core")
                .is_dir()
        })
}

/// Whether the rustc in `PATH` has a `core` for the BPF target.
fn has_prebuilt_core() -> bool {
    Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "bpfel-unknown-none"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|folder| Path::new(folder.trim()).is_dir())
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// aya-build takes cargo's variables from the environment, which a running program cannot safely
/// change. So this script starts itself again with them set, and passes on its output.
fn rerun(toolchain: &str) -> Result<()> {
    let program = env::current_exe().context("finding this build script")?;
    let mut command = Command::new(program);
    command.env(SECOND_RUN, "1").env("CARGO_TERM_QUIET", "true");
    if !has_rust_src(toolchain) {
        command.env(BOOTSTRAP.0, BOOTSTRAP.1);
    }
    let output = command
        .output()
        .context("starting this build script again")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // rustup mentions that a linked toolchain uses rustup's own cargo.
        if !line.starts_with("cargo:warning=info: ") {
            println!("{line}");
        }
    }
    if !output.status.success() {
        bail!("the kernel programs could not be built, see above");
    }
    Ok(())
}
