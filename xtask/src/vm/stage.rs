//! One run: prepares everything that guests need, and runs a guest with each kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use super::emulator::{self, Qemu};
use super::kernels::{self, Kernel, Series};
use super::lock::Lock;
use super::mirrors::Mirrors;
use super::protocol::End;
use super::qemu::{self, Acceleration, Ended, Guest};
use super::report::Outcome;
use super::scenario::Plan;
use super::{programs, rootfs, software};
use crate::run;

/// How often an emulated guest is started at most.
const BOOTS: usize = 3;

/// The disk with programs, in the folder of disks.
const PROGRAMS: &str = "programs.img";

/// Everything that guests need.
pub(super) struct Stage {
    /// The folder of this run's consoles.
    consoles: PathBuf,
    /// The folder of this run's disks.
    disks: PathBuf,
    root: PathBuf,
    qemu: Qemu,
    kernels: Vec<Kernel>,
    acceleration: Acceleration,
    /// Held until the end: another run of this checkout would overwrite the disks.
    _disks_lock: Lock,
}

impl Stage {
    /// Builds and fetches what is missing. Waits for other runs that use the same folders.
    pub(super) fn set(plan: &Plan, series: &[Series], refresh: bool) -> Result<Self> {
        software::check()?;
        let cache = run::user_cache()?.join("tracer-vm");
        let target = run::target_folder()?.join("vm");
        let (consoles, disks) = (target.join("run"), target.join("disks"));
        for folder in [&cache, &consoles, &disks] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let disks_lock = Lock::take(&disks)?;
        let programs = programs::build()?;
        println!("set-up for virtual machines:");
        // Released when the cache is complete: after that, it is only read.
        let cache_lock = Lock::take(&cache)?;
        let mirrors = Mirrors::default();
        let kernels = series
            .iter()
            .map(|&series| kernels::ready(&cache, &mirrors, series, refresh))
            .collect::<Result<Vec<_>>>()?;
        let first = kernels.first().context("no kernel is chosen")?;
        let qemu = emulator::ready(&cache, &mirrors)?;
        let acceleration = qemu::acceleration(&cache, &qemu, &first.image)?;
        let root = rootfs::ready(&cache, &mirrors)?;
        drop(cache_lock);
        programs.disk(plan, &disks, &disks.join(PROGRAMS))?;
        Ok(Self {
            consoles,
            disks,
            root,
            qemu,
            kernels,
            acceleration,
            _disks_lock: disks_lock,
        })
    }

    /// How guests are run.
    pub(super) fn acceleration(&self) -> Acceleration {
        self.acceleration
    }

    /// Runs a guest with each kernel, one after another, with a shell on this terminal.
    pub(super) fn shells(&self) -> Result<()> {
        for kernel in &self.kernels {
            self.guest(kernel)?.shell()?;
        }
        Ok(())
    }

    /// A guest with this kernel and an empty data disk.
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

    /// The data disk of the guest with this kernel.
    fn data(&self, kernel: &Kernel) -> PathBuf {
        self.disks.join(format!("data-{}.img", kernel.series.name))
    }

    /// Runs the plan in a guest with each kernel, in at most `jobs` guests at a time.
    pub(super) fn play_all(&self, plan: &Plan, jobs: usize) -> Result<Vec<Outcome>> {
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

    /// Runs the plan in a guest with this kernel, and prints the result.
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
        // Printed at once, so that the results of two guests don't mix.
        print!("{}", outcome.describe(&tail(&guest.console)));
        if !outcome.passed() {
            println!("---- console: {}", guest.console.display());
        }
        Ok(outcome)
    }

    /// Runs a guest until it ends. An emulated kernel sometimes fails to start: about one in sixty
    /// hangs while it sets up its timers, and an old emulator crashes some that patch their own text.
    /// Such a guest is started again, but only if its agent has not run yet.
    fn boot(&self, kernel: &Kernel, guest: &Guest) -> Result<Ended> {
        let mut ended = guest.run()?;
        for _ in 1..BOOTS {
            if self.acceleration == Acceleration::Kvm || !ended.never_began() {
                break;
            }
            println!(
                "---- {} ended before it ran anything ({:?}): starting it again",
                kernel.series.name, ended.end
            );
            ended = guest.run()?;
        }
        Ok(ended)
    }

    /// Removes the disks.
    pub(super) fn clear(&self) {
        // They don't exist if no guest was made.
        let _ = fs::remove_file(self.disks.join(PROGRAMS));
        for kernel in &self.kernels {
            let _ = fs::remove_file(self.data(kernel));
        }
    }
}

/// Locks `mutex`. What guests share can't be left half-done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last lines of a console.
fn tail(console: &Path) -> Vec<String> {
    const LINES: usize = 60;
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    lines[skipped..].iter().map(|&it| it.to_owned()).collect()
}
