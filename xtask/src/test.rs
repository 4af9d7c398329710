//! `cargo xtask test`: all tests.
//!
//! First the unit tests, which need no root and no other software, then other kernels in virtual
//! machines ([`crate::vm`]), then the integration tests (in `tests/` and `tracer/tests/`), which run
//! as root and cause real failures on the real kernel. All of them always run; the exit code is that
//! of the first failure. Nothing is printed after cargo's own last lines.
//!
//! `--unit` leaves out the packages that need the BPF toolchain, so that it needs Rust only.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;

use crate::packages::Packages;
use crate::vm::{self, Which};
use crate::{build, run, setup};

/// The packages with integration tests.
const NATIVE: [&str; 2] = ["tracer", "tracer-tests"];

/// How many integration tests run at a time, unless `RUST_TEST_THREADS` is set. They mostly wait
/// (for restarts, timeouts, processes), but they also share one kernel and one small machine.
const NATIVE_THREADS: &str = "2";

/// The environment variables that sudo passes to the tests.
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
    /// Run only tests whose name contains one of these
    filter: Vec<String>,
    /// Run only unit tests that need nothing but Rust: no root, no BPF toolchain, no other software
    #[arg(long, conflicts_with = "native")]
    unit: bool,
    /// Run only the integration tests, on this machine's kernel (as root)
    #[arg(long)]
    native: bool,
    /// Which kernels to run in virtual machines (none if tests are chosen)
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "ends",
        conflicts_with = "no_vm"
    )]
    vm: Which,
    /// Run no virtual machines
    #[arg(long)]
    no_vm: bool,
}

impl Args {
    /// Whether to run virtual machines.
    fn other_kernels(&self) -> bool {
        !self.unit && !self.native && !self.no_vm && self.filter.is_empty()
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut statuses = Vec::new();
    if !args.unit {
        setup::build()?;
        setup::tests()?;
    }
    if !args.native {
        for command in unit_tests(args)? {
            statuses.push(run::status(&mut { command })?);
        }
    }
    if args.other_kernels() {
        // An error here must not keep the integration tests from running; it counts as a failure.
        let passed = setup::machines().and_then(|()| vm::kernels(args.vm));
        let passed = passed.unwrap_or_else(|error| {
            println!("virtual machines: {error:#}");
            println!("to run no virtual machines: cargo xtask test --no-vm");
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

/// The commands that run the unit tests and the examples in doc comments.
fn unit_tests(args: &Args) -> Result<Vec<Command>> {
    let choice = choice(&Packages::of_workspace()?, args.unit);
    [&["--lib", "--bins"][..], &["--doc"]]
        .into_iter()
        .map(|targets| {
            let mut command = run::cargo()?;
            command
                .arg("test")
                .args(&choice)
                .args(targets)
                .args(["--no-fail-fast", "--"])
                .args(&args.filter);
            Ok(command)
        })
        .collect()
}

/// The arguments that choose packages: all that are built for the host, or those that need no BPF
/// toolchain.
fn choice(packages: &Packages, without_bpf: bool) -> Vec<String> {
    let flag = |flag: &'static str| move |name: &String| [flag.to_owned(), name.clone()];
    if without_bpf {
        packages.plain.iter().flat_map(flag("--package")).collect()
    } else {
        let left_out = packages.kernel_programs.iter().flat_map(flag("--exclude"));
        ["--workspace".to_owned()]
            .into_iter()
            .chain(left_out)
            .collect()
    }
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
        // cargo builds as this user and starts the test programs through sudo.
        command.args(["--config", &runner(&prefix)]);
    }
    command.arg("--");
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.arg(format!("--test-threads={NATIVE_THREADS}"));
    }
    command.args(filter);
    Ok(command)
}

/// The cargo setting that starts test programs through `prefix`.
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
    fn without_the_bpf_toolchain_only_the_packages_that_need_none_are_tested() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let packages = Packages {
            plain: names(&["model", "xtask"]),
            with_bpf: names(&["kernel"]),
            kernel_programs: names(&["ebpf"]),
        };
        assert_eq!(
            choice(&packages, true),
            ["--package", "model", "--package", "xtask"]
        );
        assert_eq!(
            choice(&packages, false),
            ["--workspace", "--exclude", "ebpf"]
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
