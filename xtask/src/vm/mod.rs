//! `cargo xtask vm`: runs the tracer on several kernels, in virtual machines with systemd as init.
//!
//! Every kernel's guest runs its whole plan before the result is known. What is fetched and made for
//! guests is kept in the user's cache; the consoles of the last run are kept in the target folder.

use std::io::{IsTerminal as _, stdin, stdout};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

mod archive;
mod disk;
mod emulator;
mod guard;
mod kernels;
mod lock;
mod mirrors;
mod programs;
mod protocol;
mod qemu;
mod report;
mod rootfs;
mod scenario;
pub(crate) mod software;
mod stage;
mod support_table;

use kernels::{SERIES, Series};
use qemu::Acceleration;
use report::Outcome;
use scenario::Plan;
use stage::Stage;

use crate::setup;

/// Run the tracer on several kernels, in virtual machines
///
/// Builds the tracer, the integration tests and the scenarios, boots each kernel in QEMU and runs
/// them there. Kernels and the guests' root file system are fetched from a Debian mirror: one of
/// TRACER_DEBIAN_MIRROR (addresses separated by spaces), one of apt's configuration, or mmdebstrap's
/// default.
#[derive(clap::Args, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Args {
    /// Run only this kernel: 5.10, 6.1, 6.12 or newest (may be given several times)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Run only this scenario, or kind of scenario (may be given several times)
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Fetch kernels again, in case there are newer ones
    #[arg(long)]
    refresh: bool,
    /// How many guests run at a time [default: as many as processors and memory allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Keep the guests' disks, not only their consoles
    #[arg(long)]
    keep: bool,
    /// Start a shell in the guest on this terminal instead; the programs are in /run/vm/programs
    #[arg(long, conflicts_with = "scenario")]
    shell: bool,
    /// Write the table in docs/kernel-support.md from what the scenario `support` reports
    #[arg(long)]
    write_table: bool,
    /// List kernels and scenarios
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    if args.shell && !(stdin().is_terminal() && stdout().is_terminal()) {
        bail!("--shell needs a terminal");
    }
    let series = wanted(&args.kernel)?;
    let plan = Plan::new(&args.scenario)?;
    setup::build()?;
    let stage = Stage::set(&plan, &series, args.refresh)?;
    if args.shell {
        stage.shells()?;
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let jobs = args.jobs.map_or_else(qemu::at_a_time, usize::from);
    let outcomes = stage.play_all(&plan, jobs)?;
    if !args.keep {
        stage.clear();
    }
    println!();
    print!("{}", report::table(&outcomes));
    let documented = documented(&outcomes, args.write_table)?;
    println!(
        "vm: {} of {} kernels passed in {:.0} s ({})",
        outcomes.iter().filter(|it| it.passed()).count(),
        outcomes.len(),
        began.elapsed().as_secs_f64(),
        match stage.acceleration() {
            Acceleration::Kvm => "KVM",
            Acceleration::Tcg => "emulated",
        },
    );
    Ok(if documented && outcomes.iter().all(Outcome::passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether the table of kernels agrees with the guests. Writes it first if `write`.
fn documented(outcomes: &[Outcome], write: bool) -> Result<bool> {
    if write {
        support_table::write(outcomes)?;
    }
    let differences = support_table::differences(outcomes)?;
    for difference in &differences {
        println!("docs/kernel-support.md is out of date: {difference}");
    }
    if !differences.is_empty() {
        println!("to update it: cargo xtask vm --scenario support --write-table");
    }
    Ok(differences.is_empty())
}

/// Which kernels to run as part of all tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// The oldest and the newest
    Ends,
    /// The oldest and the newest on one day, the others on the next
    Rotating,
    /// All
    All,
}

impl Which {
    fn series(self, days: u64) -> Vec<Series> {
        let [oldest, between @ .., newest] = SERIES;
        match self {
            Self::All => SERIES.to_vec(),
            Self::Rotating if days % 2 == 1 => between.to_vec(),
            Self::Ends | Self::Rotating => vec![oldest, newest],
        }
    }
}

/// Runs all scenarios on these kernels and returns whether all passed.
pub(crate) fn kernels(which: Which) -> Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = now.map_or(0, |since| since.as_secs() / (24 * 60 * 60));
    let series = which.series(days);
    let args = Args {
        kernel: series.iter().map(|series| series.name.to_owned()).collect(),
        ..Args::default()
    };
    Ok(run(&args)? == ExitCode::SUCCESS)
}

fn list() {
    for series in SERIES {
        println!("kernel    {}", series.name);
    }
    for step in scenario::STEPS {
        println!("scenario  {}", step.name);
    }
}

fn wanted(names: &[String]) -> Result<Vec<Series>> {
    if names.is_empty() {
        return Ok(SERIES.to_vec());
    }
    names.iter().map(|name| kernels::series(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotating_reaches_every_kernel_in_two_days() {
        let names = |which: Which, day| {
            let series = which.series(day);
            series.iter().map(|it| it.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Which::Ends, 1), ["5.10", "newest"]);
        assert_eq!(names(Which::Rotating, 20_000), ["5.10", "newest"]);
        assert_eq!(names(Which::Rotating, 20_001), ["6.1", "6.12"]);
        assert_eq!(names(Which::All, 1).len(), SERIES.len());
    }
}
