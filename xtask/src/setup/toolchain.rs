//! The compiler for the BPF target. The first of these that exists is used:
//!
//! 1. the rustup toolchain that `TRACER_BPF_TOOLCHAIN` names;
//! 2. rustup's `nightly`, if it has rust-src (the build then compiles `core`);
//! 3. rustup's `bpf`, a link to a distribution's rustc with a prebuilt `core`;
//! 4. without rustup, the rustc in `PATH`, if it has a prebuilt `core`.
//!
//! If none exists, the third or the fourth is installed from Debian's packages. The build script
//! that compiles the kernel programs uses the same order.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::found::found;
use super::version::numbers;
use crate::{debian, run};

/// The oldest rustc that can build this workspace.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// The name of the rustup toolchain that links to a distribution's rustc.
const LINKED: &str = "bpf";

/// Where distributions install their rustc.
const DISTRIBUTION: &str = "/usr";

/// A compiler that can build the kernel programs.
pub(super) struct Toolchain {
    /// Its name in rustup; `None` for the rustc in `PATH`, without rustup.
    name: Option<String>,
    /// `release` in the output of `rustc --version --verbose`.
    release: String,
    /// The major version of its LLVM.
    pub(super) llvm_major: u32,
    /// Whether `core` has to be compiled.
    core: Core,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    Source,
    Prebuilt,
}

impl Toolchain {
    /// A command that runs `program` of this toolchain.
    pub(super) fn command(&self, program: &str) -> Command {
        command(self.name.as_deref(), program)
    }

    /// The toolchain called `name`, if it can build for the BPF target.
    fn look(name: Option<&str>) -> Option<Self> {
        let version = run::answer(command(name, "rustc").args(["--version", "--verbose"]))?;
        let sysroot = run::answer(command(name, "rustc").args(["--print", "sysroot"]))?;
        let field = |key: &str| field(&version, key);
        Some(Self {
            name: name.map(str::to_owned),
            release: field("release")?.to_owned(),
            llvm_major: *numbers(field("LLVM version")?).first()?,
            core: core(Path::new(sysroot.trim()))?,
        })
        .filter(|toolchain| numbers(&toolchain.release) >= numbers(OLDEST))
    }

    fn print(&self) {
        let name = self.name.as_deref().unwrap_or("rustc in PATH");
        let core = match self.core {
            Core::Source => "with rust-src",
            Core::Prebuilt => "with a prebuilt core",
        };
        found(
            "BPF toolchain",
            &format!(
                "{name}: rustc {}, LLVM {}, {core}",
                self.release, self.llvm_major
            ),
        );
    }
}

/// The toolchain that builds the kernel programs, which is installed if missing.
pub(super) fn ready() -> Result<Toolchain> {
    let toolchain = match looked_for()? {
        Some(toolchain) => toolchain,
        None => installed()?,
    };
    toolchain.print();
    Ok(toolchain)
}

fn looked_for() -> Result<Option<Toolchain>> {
    if let Ok(name) = env::var("TRACER_BPF_TOOLCHAIN") {
        let toolchain = Toolchain::look(Some(&name));
        return toolchain.map(Some).with_context(|| {
            format!(
                "TRACER_BPF_TOOLCHAIN={name}: rustup has no such toolchain, or it is older than \
                 {OLDEST}, or it has neither rust-src nor a core for bpfel-unknown-none"
            )
        });
    }
    if !rustup() {
        return Ok(Toolchain::look(None));
    }
    let nightly = Toolchain::look(Some("nightly")).filter(|found| found.core == Core::Source);
    Ok(nightly.or_else(|| Toolchain::look(Some(LINKED))))
}

/// Installs the distribution's rustc for the BPF target and links it as a rustup toolchain.
fn installed() -> Result<Toolchain> {
    let distribution = Path::new(DISTRIBUTION);
    if core(distribution) != Some(Core::Prebuilt) {
        if !debian::present() {
            bail!("{NO_TOOLCHAIN}");
        }
        debian::update()?;
        let packages = packages().with_context(|| NO_TOOLCHAIN)?;
        debian::install(&packages)?;
    }
    if rustup() {
        run::run(Command::new("rustup").args(["toolchain", "link", LINKED, DISTRIBUTION]))?;
    }
    looked_for()?.context(
        "the distribution's rustc was installed, but it can't build for bpfel-unknown-none: \
         please report this with the output of `rustc -vV` and `ls /usr/lib/rustlib`",
    )
}

const NO_TOOLCHAIN: &str = "\
no Rust toolchain on this machine can build for the BPF target, and the distribution has no package with one.
  With rustup (any distribution):
      rustup toolchain install nightly --profile minimal --component rust-src
  Debian trixie: enable trixie-backports and repeat this command.
  Fedora:     dnf install rustup && rustup-init -y, then as above
  Arch Linux: pacman -S rustup, then as above";

/// The newest pair of packages with the same version: a rustc and its `core` for the BPF target
/// (`rustc-web` and `libstd-rust-web-dev-bpf`, or `rustc` and `libstd-rust-dev-bpf`).
fn packages() -> Option<Vec<String>> {
    let pairs = debian::named("^libstd-rust(-.+)?-dev-bpf$");
    let newest = pairs
        .iter()
        .filter_map(|core| Some((debian::newest(core)?, core)))
        .max_by_key(|(version, _)| numbers(version))?;
    let (version, core) = newest;
    if numbers(version.as_str()) < numbers(OLDEST) {
        return None;
    }
    let rustc = compiler_of(core)?;
    Some(vec![
        format!("{rustc}={version}"),
        format!("{core}={version}"),
    ])
}

/// The package with the rustc that the package `core` belongs to.
fn compiler_of(core: &str) -> Option<String> {
    let flavour = core.strip_prefix("libstd-rust")?.strip_suffix("-dev-bpf")?;
    Some(format!("rustc{flavour}"))
}

/// Whether rustup is installed.
fn rustup() -> bool {
    run::find("rustup").is_some()
}

fn command(toolchain: Option<&str>, program: &str) -> Command {
    match toolchain {
        None => Command::new(program),
        Some(toolchain) => {
            let mut command = Command::new("rustup");
            command.args(["run", toolchain, program]);
            command
        }
    }
}

/// The `core` for the BPF target in `sysroot`. A prebuilt one needs no unstable cargo feature.
fn core(sysroot: &Path) -> Option<Core> {
    let libraries = sysroot.join("lib/rustlib");
    if libraries.join("bpfel-unknown-none/lib").is_dir() {
        Some(Core::Prebuilt)
    } else if libraries.join("src/rust/library/core").is_dir() {
        Some(Core::Source)
    } else {
        None
    }
}

/// The value of `key` in the output of `rustc --version --verbose`.
fn field<'a>(version: &'a str, key: &str) -> Option<&'a str> {
    version
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_verbose_version_are_found_by_name() {
        let version = "rustc 1.96.0 (abc 2026-05-01)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(field(version, "release"), Some("1.96.0"));
        assert_eq!(field(version, "LLVM version"), Some("22.1.8"));
        assert_eq!(field(version, "host"), None);
    }

    #[test]
    fn the_name_of_a_core_package_gives_its_compilers_package() {
        let compiler = |core| compiler_of(core);
        assert_eq!(
            compiler("libstd-rust-web-dev-bpf").as_deref(),
            Some("rustc-web")
        );
        assert_eq!(compiler("libstd-rust-dev-bpf").as_deref(), Some("rustc"));
        assert_eq!(
            compiler("libstd-rust-1.96-dev-bpf").as_deref(),
            Some("rustc-1.96")
        );
        assert_eq!(compiler("libstd-rust-dev"), None);
    }

    #[test]
    fn a_folder_without_rust_has_no_core() {
        assert_eq!(core(Path::new("/nonexistent")), None);
    }
}
