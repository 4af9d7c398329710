//! `cargo xtask lint`: formatting, clippy for both halves, fuzz targets, dependencies, house rules.
//!
//! Every check runs, even after another failed; a summary follows at the end.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{run, setup};

mod advisories;
mod house;
mod verdict;

use verdict::Verdict;

/// The fuzz targets' package.
const FUZZ_MANIFEST: &str = "tests/fuzz/Cargo.toml";

/// How strict to be about checks that need the network.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Args {
    /// Fail if the advisory database is not available, instead of warning
    #[arg(long)]
    require_advisories: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    setup::build()?;
    setup::lint_tools()?;
    let mut verdicts = Vec::new();
    for (name, command) in commands()? {
        verdicts.push((name, Verdict::of(command)?));
    }
    verdicts.push(("advisories", advisories::check()?));
    verdicts.push(("house rules", house::check()?));
    Ok(summary(&verdicts, args))
}

fn commands() -> Result<Vec<(&'static str, Command)>> {
    let mut format = run::cargo()?;
    format.args(["fmt", "--all", "--check"]);

    let mut host = run::cargo()?;
    host.args(["clippy", "--workspace", "--exclude", "tracer-ebpf"])
        .args(["--all-targets", "--all-features", "--", "-D", "warnings"]);

    let mut dependencies = run::cargo()?;
    dependencies.args([
        "deny",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);

    Ok(vec![
        ("format", format),
        ("clippy, host", host),
        ("clippy, kernel programs", kernel(&[])?),
        (
            "clippy, kernel programs with kernel-log",
            kernel(&["kernel-log"])?,
        ),
        ("fuzz targets and their lock file", fuzz_targets()?),
        ("dependencies", dependencies),
    ])
}

/// The fuzz targets are a workspace of their own, with a lock file of their own: nothing else here
/// notices when a change breaks either.
fn fuzz_targets() -> Result<Command> {
    let mut command = run::cargo()?;
    command
        .args(["check", "--locked", "--manifest-path", FUZZ_MANIFEST])
        .arg("--target-dir")
        .arg(run::target_folder()?.join("fuzz"))
        // Checking links nothing, so libFuzzer need not be compiled, and no C++ compiler be there.
        .env("CUSTOM_LIBFUZZER_PATH", "not-linked/libfuzzer.a");
    Ok(command)
}

/// clippy for the kernel programs, compiled for the host: distributions ship no clippy for their
/// BPF toolchain, and aya-ebpf compiles for both targets. Without std, a panic can't unwind.
fn kernel(features: &[&str]) -> Result<Command> {
    let mut command = run::cargo()?;
    command
        .args(["clippy", "--package", "tracer-ebpf", "--bins"])
        .args(["--target", &host_target()?])
        .args(["--features", &features.join(",")])
        .args(["--", "-D", "warnings"])
        .env("CARGO_PROFILE_DEV_PANIC", "abort");
    Ok(command)
}

fn host_target() -> Result<String> {
    let version = run::answer(Command::new("rustc").args(["--version", "--verbose"]));
    let version = version.context("`rustc -vV` fails")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .context("`rustc -vV` does not print the host")?
        .to_owned())
}

fn summary(verdicts: &[(&str, Verdict)], args: Args) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    println!("lint:");
    for (name, verdict) in verdicts {
        match verdict {
            Verdict::Passed => println!("  passed   {name}"),
            Verdict::Failed => {
                println!("  FAILED   {name}");
                code = ExitCode::FAILURE;
            }
            Verdict::Unchecked(why) => {
                println!("  NOT CHECKED: {name}: {why}");
                if args.require_advisories {
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}
