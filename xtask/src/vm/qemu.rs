//! One guest: QEMU with a kernel, a root disk that is never written, a disk with programs and a disk
//! for data. Its console is read until it ends or has to be ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::disk;
use super::emulator::Qemu;
use super::protocol::{End, SILENCE, Transcript};
use super::software::EMULATOR;

/// Processors of a guest. With only one, a thrashing guest can stall.
const PROCESSORS: &str = "2";
/// Memory of a guest, MiB.
const MEMORY: &str = "640";
/// The most memory of this machine that a guest takes, with its emulator.
const FOOTPRINT_KIB: usize = 1 << 20;
/// The time limit of a guest: more than any plan takes, emulated on two busy cores.
const LONGEST: Duration = Duration::from_mins(25);
/// How long an emulator may take to exit after its guest has ended.
const GRACE: Duration = Duration::from_secs(20);
/// A kernel without output by then will not start.
const PROBE: Duration = Duration::from_secs(15);

/// How guests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceleration {
    /// Run by the processor.
    Kvm,
    /// Emulated: 10 to 30 times slower.
    Tcg,
}

impl Acceleration {
    /// QEMU's options for it.
    fn options(self, qemu: &Qemu) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Before version 8 its emulation of the 16-byte exchange breaks kernel 5.10.
            Self::Tcg if qemu.is_unsound() => {
                ["-accel", "tcg,thread=multi", "-cpu", "max,cx16=off"]
            }
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// A guest that can be run.
pub(super) struct Guest {
    /// The emulator.
    pub(super) qemu: Qemu,
    /// The image of its kernel.
    pub(super) kernel: PathBuf,
    /// The root disk, shared by all guests.
    pub(super) root: PathBuf,
    /// The disk with programs and the plan, read-only.
    pub(super) programs: PathBuf,
    /// The disk for data, kept from boot to boot.
    pub(super) data: PathBuf,
    /// Where its console is written to.
    pub(super) console: PathBuf,
    /// How it is run.
    pub(super) acceleration: Acceleration,
}

/// A guest that has ended.
pub(crate) struct Ended {
    /// What its console showed.
    pub(crate) transcript: Transcript,
    /// Why it ended.
    pub(crate) end: End,
    /// How long it ran.
    pub(crate) took: Duration,
}

impl Ended {
    /// Whether the kernel failed or hung before the agent ran.
    pub(super) fn never_began(&self) -> bool {
        self.transcript.release.is_none() && matches!(self.end, End::Fatal(_) | End::Silent)
    }
}

impl Guest {
    /// The command that boots it into this systemd target.
    fn command(&self, target: &str) -> Command {
        let mut command = base(&self.qemu, self.acceleration, MEMORY);
        let root = format!(
            "console=ttyS0 root={} rw rootfstype=ext4 rootwait panic=-1 net.ifnames=0 \
             systemd.unit={target} psi=1 quiet loglevel=2 printk.time=1 oops=panic softlockup_panic=1 \
             sysctl.kernel.hung_task_panic=1 sysctl.kernel.panic_on_rcu_stall=1 \
             rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.watchdog_thresh=30",
            disk::ROOT,
        );
        let root_drive = "snapshot=on,cache=unsafe";
        command.arg("-kernel").arg(&self.kernel).args([
            "-append",
            &root,
            "-device",
            "nvme,id=n,serial=tracer",
        ]);
        for (id, (image, options)) in [
            (&self.root, root_drive),
            (&self.programs, "readonly=on"),
            (&self.data, "cache=writethrough"),
        ]
        .into_iter()
        .enumerate()
        {
            // A comma in a path is written twice.
            let file = image.display().to_string().replace(',', ",,");
            command.args([
                "-drive",
                &format!("if=none,id=d{id},file={file},format=raw,{options}"),
                "-device",
                &format!("nvme-ns,drive=d{id},bus=n,nsid={}", id + 1),
            ]);
        }
        command
    }

    /// Runs it until it ends or has to be ended.
    pub(super) fn run(&self) -> Result<Ended> {
        let mut log = File::create(&self.console)
            .with_context(|| format!("creating {}", self.console.display()))?;
        let began = Instant::now();
        let emulator = Emulator::start(&mut self.command("vm.target"))?;
        let mut transcript = Transcript::default();
        let end = loop {
            if began.elapsed() > LONGEST {
                break End::Late;
            }
            match emulator.lines.recv_timeout(SILENCE) {
                Ok(line) => {
                    let at = began.elapsed();
                    writeln!(log, "{:8.2} {line}", at.as_secs_f64()).context("keeping the log")?;
                    if let Some(end) = transcript.line(at, &line) {
                        break end;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break End::Silent,
                Err(RecvTimeoutError::Disconnected) => break End::Gone,
            }
        };
        // The log also gets what follows, such as the trace of a panic.
        let wait = match end {
            End::Cut | End::Silent | End::Late => Duration::ZERO,
            End::Done | End::Fatal(_) | End::Gone => GRACE,
        };
        let until = Instant::now() + wait;
        while let Ok(line) = emulator
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            writeln!(log, "{:8.2} {line}", began.elapsed().as_secs_f64())
                .context("keeping the log")?;
        }
        writeln!(log, "### {end:?}").context("keeping the log")?;
        drop(emulator);
        Ok(Ended {
            transcript,
            end,
            took: began.elapsed(),
        })
    }

    /// Runs a shell in the guest on this terminal; the guest ends when the shell exits.
    pub(super) fn shell(&self) -> Result<()> {
        let status = self
            .command("vm-shell.target")
            .status()
            .with_context(|| format!("starting {EMULATOR}"))?;
        println!("the guest ended ({status})");
        Ok(())
    }
}

/// How many guests this machine can run at a time: each mostly uses one processor.
pub(super) fn at_a_time() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    processors
        .min(available_kib(&memory) / FOOTPRINT_KIB)
        .max(1)
}

/// `text` is /proc/meminfo.
fn available_kib(text: &str) -> usize {
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The part of QEMU's command line that all guests share. The emulator is killed when this program
/// exits, for whatever reason.
fn base(qemu: &Qemu, acceleration: Acceleration, memory: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(&qemu.program)
        .args(
            qemu.firmware
                .iter()
                .flat_map(|folder| [OsStr::new("-L"), folder.as_os_str()]),
        )
        .args(acceleration.options(qemu))
        .args(["-machine", "q35", "-smp", PROCESSORS, "-m", memory])
        .args(["-nographic", "-nodefaults", "-no-reboot"])
        .args(["-serial", "mon:stdio", "-nic", "none"]);
    command
}

/// A running emulator; killed when dropped.
struct Emulator {
    child: Child,
    lines: Receiver<String>,
}

impl Emulator {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {EMULATOR}"))?;
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().context("the console")?;
        let stderr = child.stderr.take().context("the emulator's messages")?;
        forward(stdout, send.clone(), "");
        forward(stderr, send, "qemu: ");
        Ok(Self { child, lines })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Fails if it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the lines of `from` until it ends or the receiver is gone.
fn forward(from: impl std::io::Read + Send + 'static, send: mpsc::Sender<String>, prefix: &str) {
    let prefix = prefix.to_owned();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            if send.send(format!("{prefix}{}", text.trim_end())).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// The best way to run guests on this machine. A device node proves nothing, so `kernel` is booted
/// until it prints something. The result is kept until this machine reboots.
pub(super) fn acceleration(cache: &Path, qemu: &Qemu, kernel: &Path) -> Result<Acceleration> {
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(Acceleration::Tcg);
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let kept = cache.join("kvm");
    if let Ok(text) = fs::read_to_string(&kept)
        && let Some(answer) = text.strip_prefix(boot.trim())
    {
        return Ok(if answer.trim() == "works" {
            Acceleration::Kvm
        } else {
            Acceleration::Tcg
        });
    }
    let works = boots(qemu, kernel)?;
    let answer = if works { "works" } else { "does not work" };
    println!("  probe    KVM {answer} on this machine");
    fs::write(&kept, format!("{} {answer}\n", boot.trim()))
        .with_context(|| format!("writing {}", kept.display()))?;
    Ok(if works {
        Acceleration::Kvm
    } else {
        Acceleration::Tcg
    })
}

/// Whether `kernel`, under KVM, gets as far as looking for its root.
fn boots(qemu: &Qemu, kernel: &Path) -> Result<bool> {
    let mut command = base(qemu, Acceleration::Kvm, MEMORY);
    command
        .arg("-kernel")
        .arg(kernel)
        .args(["-append", "console=ttyS0 panic=-1"]);
    let emulator = Emulator::start(&mut command)?;
    let until = Instant::now() + PROBE;
    while let Ok(line) = emulator
        .lines
        .recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        if line.contains("VFS: Unable to mount root") || line.contains("Cannot open root device") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_begun_once_its_agent_prints_a_line() {
        let ended = |lines: &[&str], end| {
            let mut transcript = Transcript::default();
            for line in lines {
                assert_eq!(transcript.line(Duration::from_secs(1), line), None);
            }
            Ended {
                transcript,
                end,
                took: Duration::from_secs(100),
            }
        };
        let bios = "Booting from ROM..";
        assert!(ended(&[bios], End::Silent).never_began());
        assert!(ended(&[bios], End::Fatal("Oops: int3".into())).never_began());
        assert!(!ended(&[bios], End::Gone).never_began());
        assert!(!ended(&[bios, "@@vm up 7.2.0"], End::Silent).never_began());
    }

    #[test]
    fn available_memory_is_read_from_meminfo() {
        let text = "MemTotal:       24689872 kB\nMemAvailable:   23000000 kB\nBuffers: 1 kB\n";
        assert_eq!(available_kib(text), 23_000_000);
        assert_eq!(available_kib("MemAvailable:\n"), 0);
        assert_eq!(available_kib(""), 0);
    }
}
