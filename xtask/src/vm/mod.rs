//! `cargo xtask vm`: the tracer on real kernels, in virtual machines with systemd as init.
//!
//! Every kernel's guest runs its whole plan before there is a verdict. What is fetched and built
//! for guests is kept in the user's cache; consoles of the last run are kept in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

mod archive;
mod disk;
mod emulator;
mod kernels;
mod programs;
mod protocol;
mod qemu;
mod report;
mod rootfs;
mod scenario;
mod support_table;

use emulator::Qemu;
use kernels::{Kernel, SERIES, Series};
use protocol::End;
use qemu::{Acceleration, Ended, Guest};
use report::Outcome;
use scenario::Plan;

pub(crate) use archive::KEYRING;
pub(crate) use emulator::PROGRAM as EMULATOR;

use crate::{run, setup};

/// Which guests to run.
#[derive(clap::Args, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Args {
    /// Only this kernel: 5.10, 6.1, 6.12 or newest (may be given several times)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only this scenario, or kind of scenario (may be given several times)
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Look for newer kernels in Debian's archive
    #[arg(long)]
    refresh: bool,
    /// How many guests run at a time [default: as many as there are processors and memory for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Keep the disks of the guests, not just their consoles
    #[arg(long)]
    keep: bool,
    /// Boot into a shell on this terminal instead, with the programs in /run/vm/programs
    #[arg(long, conflicts_with = "scenario")]
    shell: bool,
    /// Write the table of docs/kernel-support.md, of what the scenario `support` told
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
    let series = wanted(&args.kernel)?;
    let plan = Plan::new(&args.scenario)?;
    setup::build()?;
    let stage = Stage::set(&plan, &series, args)?;
    if args.shell {
        for kernel in &stage.kernels {
            stage.guest(kernel)?.shell()?;
        }
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
        match stage.acceleration {
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

/// Whether the table of kernels says what the guests told, after writing it if that is asked for.
fn documented(outcomes: &[Outcome], write: bool) -> Result<bool> {
    if write {
        support_table::write(outcomes)?;
    }
    let differences = support_table::differences(outcomes)?;
    for difference in &differences {
        println!("docs/kernel-support.md is not true: {difference}");
    }
    if !differences.is_empty() {
        println!("write it again: cargo xtask vm --scenario support --write-table");
    }
    Ok(differences.is_empty())
}

/// Which kernels to run as part of all tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// The oldest and the newest
    Ends,
    /// The oldest and the newest on one day, those between on the next
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

/// Runs all scenarios on these kernels; whether all passed.
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

/// Whether guests can be run here; if not, what to do.
pub(crate) fn possible() -> Result<()> {
    for program in [EMULATOR, "mmdebstrap", "mke2fs", "setpriv"] {
        if run::find(program).is_none() {
            bail!("{program} is not installed; run `cargo xtask setup --vm`");
        }
    }
    Ok(())
}

/// All that guests need, ready.
struct Stage {
    /// Consoles of this run.
    consoles: PathBuf,
    /// Disks of this run.
    disks: PathBuf,
    root: PathBuf,
    qemu: Qemu,
    kernels: Vec<Kernel>,
    acceleration: Acceleration,
}

/// How often an emulated guest is started at most.
const BOOTS: usize = 3;

/// The disk of programs, among those of a run.
const PROGRAMS: &str = "programs.img";

impl Stage {
    fn set(plan: &Plan, series: &[Series], args: &Args) -> Result<Self> {
        possible()?;
        let cache = run::user_cache()?.join("tracer-vm");
        let target = run::target_folder()?.join("vm");
        let (consoles, disks) = (target.join("run"), target.join("disks"));
        for folder in [&cache, &consoles, &disks] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let programs = programs::build()?;
        println!("set-up for virtual machines:");
        let kernels = series
            .iter()
            .map(|&series| kernels::ready(&cache, series, args.refresh))
            .collect::<Result<Vec<_>>>()?;
        let first = kernels.first().context("no kernel is asked for")?;
        let qemu = emulator::ready(&cache)?;
        let acceleration = qemu::acceleration(&cache, &qemu, &first.image)?;
        let root = rootfs::ready(&cache)?;
        programs.disk(plan, &disks, &disks.join(PROGRAMS))?;
        Ok(Self {
            consoles,
            disks,
            root,
            qemu,
            kernels,
            acceleration,
        })
    }

    /// A guest of this kernel with an empty disk of data.
    fn guest(&self, kernel: &Kernel) -> Result<Guest> {
        let data = self.data(kernel);
        programs::data_disk(&self.disks, &data)?;
        Ok(Guest {
            qemu: self.qemu.clone(),
            kernel: kernel.image.clone(),
            root: self.root.clone(),
            programs: self.disks.join(PROGRAMS),
            data,
            console: self
                .consoles
                .join(format!("console-{}.log", kernel.series.name)),
            acceleration: self.acceleration,
        })
    }

    /// A guest's disk of data.
    fn data(&self, kernel: &Kernel) -> PathBuf {
        self.disks.join(format!("data-{}.img", kernel.series.name))
    }

    /// Runs a guest of every kernel through the plan, at most `jobs` of them at a time.
    fn play_all(&self, plan: &Plan, jobs: usize) -> Result<Vec<Outcome>> {
        let guests = self.kernels.iter().map(|kernel| self.guest(kernel));
        let guests = guests.collect::<Result<Vec<_>>>()?;
        let waiting = Mutex::new(self.kernels.iter().zip(guests).enumerate());
        let ended = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..jobs.min(self.kernels.len()) {
                scope.spawn(|| {
                    let next = || lock(&waiting).next();
                    while let Some((place, (kernel, guest))) = next() {
                        let outcome = self.play(kernel, guest, plan);
                        lock(&ended).push((place, outcome));
                    }
                });
            }
        });
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.sort_by_key(|&(place, _)| place);
        ended.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Runs a guest of this kernel through the plan, and tells what came of it.
    fn play(&self, kernel: &Kernel, mut guest: Guest, plan: &Plan) -> Result<Outcome> {
        println!("kernel {} ({}) …", kernel.series.name, kernel.version);
        let mut ended = self.boot(kernel, &guest)?;
        if ended.end == End::Cut && plan.boots_again() {
            guest.console.set_extension("after-cut.log");
            let next = self.boot(kernel, &guest)?;
            ended.transcript.extend(next.transcript);
            ended.took += next.took;
            ended.end = next.end;
        }
        let outcome = Outcome {
            kernel: kernel.clone(),
            ended,
            planned: plan.steps().iter().map(|step| step.name).collect(),
        };
        // At once, so that what two guests tell is not mixed.
        print!("{}", outcome.told(&tail(&guest.console)));
        if !outcome.passed() {
            println!("---- console: {}", guest.console.display());
        }
        Ok(outcome)
    }

    /// Runs a guest until it ends. Emulated kernels sometimes don't get through their own start: one in
    /// some sixty stops for good where it takes its timers into use, and in an old emulator some trip
    /// over patching their own text. What happens once the agent runs is nobody's fault but ours.
    fn boot(&self, kernel: &Kernel, guest: &Guest) -> Result<Ended> {
        let mut ended = guest.run()?;
        for _ in 1..BOOTS {
            if self.acceleration == Acceleration::Kvm || !ended.never_began() {
                break;
            }
            println!(
                "---- {} ended before it ran anything ({:?}): once more",
                kernel.series.name, ended.end
            );
            ended = guest.run()?;
        }
        Ok(ended)
    }

    /// Removes the disks.
    fn clear(&self) {
        // Not there when no guest was made.
        let _ = fs::remove_file(self.disks.join(PROGRAMS));
        for kernel in &self.kernels {
            let _ = fs::remove_file(self.data(kernel));
        }
    }
}

/// Guests don't share anything that a panic could leave half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a console.
fn tail(console: &Path) -> Vec<String> {
    const LINES: usize = 60;
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    lines[skipped..].iter().map(|&it| it.to_owned()).collect()
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
