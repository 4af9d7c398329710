//! `cargo xtask test`: everything that proves the tracer right on this machine.
//!
//! First the tests beside the code, which need nothing, then other kernels in virtual machines
//! ([`crate::vm`]), then the integration tests (in `tests/` and `tracer/tests/`), which cause the
//! real thing on the real kernel and run as root. All of them always run; the first failure is the
//! exit code whatever comes after. Nothing is printed after cargo's own closing lines.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;

use crate::vm::{self, Which};
use crate::{build, run, setup};

/// The packages with tests on the real kernel.
const NATIVE: [&str; 2] = ["tracer", "tracer-tests"];

/// How many of those run at a time, unless `RUST_TEST_THREADS` says otherwise. They mostly wait
/// (for restarts, timeouts, processes), but they also share one kernel and one small machine.
const NATIVE_THREADS: &str = "2";

/// What sudo keeps of the environment for the tests.
const KEPT: [&str; 6] = [
    "TRACER_BIN",
    "TRACER_TEST_CACHE",
    "CI",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "RUST_TEST_THREADS",
];

/// Which tests to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains one of these
    filter: Vec<String>,
    /// Only the tests that need nothing: no root, no software besides the build's
    #[arg(long, conflicts_with = "native")]
    unit: bool,
    /// Only the tests on the real kernel
    #[arg(long)]
    native: bool,
    /// Which kernels to run in virtual machines, unless tests are chosen
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "ends",
        conflicts_with = "no_vm"
    )]
    vm: Which,
    /// No virtual machines
    #[arg(long)]
    no_vm: bool,
}

impl Args {
    /// Whether other kernels are part of what is asked for.
    fn other_kernels(&self) -> bool {
        !self.unit && !self.native && !self.no_vm && self.filter.is_empty()
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::build()?;
    let mut statuses = Vec::new();
    if !args.unit {
        setup::tests()?;
    }
    if !args.native {
        for targets in [&["--lib", "--bins"][..], &["--doc"]] {
            statuses.push(run::status(&mut unit(targets, &args.filter)?)?);
        }
    }
    if args.other_kernels() {
        // What hinders it must not hide what the native tests say; it is a failure all the same.
        let passed = setup::machines().and_then(|()| vm::kernels(args.vm));
        let passed = passed.unwrap_or_else(|error| {
            println!("virtual machines: {error:#}");
            println!("to leave them out: cargo xtask test --no-vm");
            false
        });
        statuses.push(ExitStatus::from_raw(i32::from(!passed) << 8));
    }
    if !args.unit {
        let built = run::status(&mut build::command()?)?;
        statuses.push(built);
        if built.success() {
            statuses.push(run::status(&mut native(&args.filter)?)?);
        }
    }
    Ok(first_failure(&statuses))
}

fn unit(targets: &[&str], filter: &[String]) -> Result<Command> {
    let mut command = run::cargo()?;
    command
        .args(["test", "--workspace", "--exclude", "tracer-ebpf"])
        .args(targets)
        .args(["--no-fail-fast", "--"])
        .args(filter);
    Ok(command)
}

fn native(filter: &[String]) -> Result<Command> {
    let mut command = run::cargo()?;
    command.arg("test");
    for package in NATIVE {
        command.args(["--package", package]);
    }
    command
        .args(["--test", "*", "--no-fail-fast"])
        .env("TRACER_BIN", build::binary()?)
        .env("TRACER_TEST_CACHE", setup::test_cache()?);
    let prefix = run::root_prefix(&KEPT)?;
    if !prefix.is_empty() {
        // cargo builds as the user and starts the test programs through sudo.
        command.args(["--config", &runner(&prefix)]);
    }
    command.arg("--");
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.arg(format!("--test-threads={NATIVE_THREADS}"));
    }
    command.args(filter);
    Ok(command)
}

/// cargo's setting that starts test programs through `prefix`.
fn runner(prefix: &[String]) -> String {
    let words: Vec<String> = prefix.iter().map(|word| format!("{word:?}")).collect();
    format!("target.'cfg(unix)'.runner=[{}]", words.join(","))
}

fn first_failure(statuses: &[ExitStatus]) -> ExitCode {
    statuses
        .iter()
        .find(|status| !status.success())
        .map_or(ExitCode::SUCCESS, |&status| run::exit_code(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_exit_code() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let code = |statuses: &[ExitStatus]| format!("{:?}", first_failure(statuses));
        assert_eq!(
            code(&[exited(0), exited(0)]),
            format!("{:?}", ExitCode::SUCCESS)
        );
        assert_eq!(
            code(&[exited(0), exited(101), exited(2)]),
            format!("{:?}", ExitCode::from(101))
        );
        assert_eq!(
            code(&[ExitStatus::from_raw(9)]),
            format!("{:?}", ExitCode::FAILURE)
        );
    }

    #[test]
    fn a_runner_is_a_list_of_quoted_words() {
        let prefix = ["sudo".to_owned(), "PATH=/a b:\"c\"".to_owned()];
        assert_eq!(
            runner(&prefix),
            r#"target.'cfg(unix)'.runner=["sudo","PATH=/a b:\"c\""]"#
        );
    }
}
