//! Compares what the kernel programs read with what /proc says. The programs read at offsets from the
//! kernel's type information, so a wrong offset shows up here.
//!
//! Starts a process whose facts are known, has it listen and connect, kills it, and compares field by
//! field. This file runs the check, [`child`] is the process, and [`compare`] compares (pure).

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use procfs::process::Process;
use rustix::process::{Pid as OsPid, Signal, kill_process};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracer_kernel::Kernel;
use tracer_model::{Observation, Pid, What};
use tracer_observe::process_facts;
use tracer_present::doctor::Field;

use self::expected::Expected;

pub mod child;
mod compare;
mod expected;

/// How long each step may take on a slow machine.
const LIMIT: Duration = Duration::from_secs(20);
/// The longest line that is read from the child.
const MAX_LINE: u64 = 64 << 10;

/// Why the check could not be done.
#[derive(Debug, Error)]
pub enum SelfCheckError {
    /// A system call failed.
    #[error("self-check: {what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The error.
        source: std::io::Error,
    },
    /// The child's report could not be parsed.
    #[error("self-check: unexpected output of the test process: {0:?}")]
    BadReport(String),
    /// A process could not be read in /proc.
    #[error("self-check: cannot read /proc/{0}")]
    NoProc(Pid),
    /// No record of the child's exit arrived.
    #[error("a test process was killed, but its exit was not seen within {0:?}")]
    Unseen(Duration),
}

/// The result of a self-check.
#[derive(Debug)]
pub struct SelfCheck {
    /// The time from the kill until the exit was read from the rings.
    pub took: Duration,
    /// The fields that were compared.
    pub fields: Vec<Field>,
}

/// Runs the child, and compares its facts with the kernel's records.
pub async fn run(kernel: &mut Kernel) -> Result<SelfCheck, SelfCheckError> {
    let hierarchy = kernel.hierarchy();
    let own = std::process::id();
    // One for each address family of this machine.
    let servers: Vec<TcpListener> = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    ]
    .into_iter()
    .filter_map(|address| TcpListener::bind(address).ok())
    .collect();
    let mut seen = Vec::new();
    let mut child = Started::new(&servers)?;
    let report = child.report()?;
    let pid = child.0.id();
    let unix = kernel
        .hooks()
        .iter()
        .any(|hook| hook.name == "connect" && hook.ok);
    let expected = Expected {
        child: process_facts(pid, hierarchy).ok_or(SelfCheckError::NoProc(pid))?,
        parent: process_facts(own, hierarchy).ok_or(SelfCheckError::NoProc(own))?,
        args: report.args,
        first_comm: own_name(),
        peak_bytes: peak_bytes(pid)
            .ok_or(SelfCheckError::NoProc(pid))?
            .max(peak_bytes(own).ok_or(SelfCheckError::NoProc(own))?),
        listeners: report.listeners,
        connections: report.connections,
        refused: report.refused,
        missing: report.missing.filter(|_| unix),
    };
    kernel.drain(&mut seen);
    let killed = Instant::now();
    child.kill()?;
    let took = loop {
        kernel.drain(&mut seen);
        if seen.iter().any(|one| is_exit(one, pid)) {
            break killed.elapsed();
        }
        if !kernel.has_pending() {
            let readable = timeout_at(killed + LIMIT, kernel.readable()).await;
            readable
                .map_err(|_| SelfCheckError::Unseen(LIMIT))?
                .map_err(io("waiting for the rings"))?;
        }
    };
    // The child's sockets are closed after its exit. Records sent without a wake-up are in the rings by
    // then.
    settle(kernel, &mut seen, expected.listeners.len(), pid).await;
    Ok(SelfCheck {
        took,
        fields: compare::fields(&expected, &seen),
    })
}

/// Reads on until all of the child's listeners are down, or the time is up.
async fn settle(kernel: &mut Kernel, seen: &mut Vec<Observation>, listeners: usize, pid: Pid) {
    let until = Instant::now() + LIMIT;
    let down = |one: &&Observation| matches!(&one.what, What::ListenerDown { by, .. } if by.key.pid == pid);
    while seen.iter().filter(down).count() < listeners && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
        kernel.drain(seen);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    kernel.drain(seen);
}

fn is_exit(observation: &Observation, pid: Pid) -> bool {
    matches!(&observation.what, What::Exited(exit) if exit.task.key.pid == pid)
}

/// The name that the kernel gives a new process of this program.
fn own_name() -> String {
    // exec names a process after the file that it was given.
    Path::new(child::PROGRAM)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn peak_bytes(pid: Pid) -> Option<u64> {
    let status = Process::new(i32::try_from(pid).ok()?).ok()?.status().ok()?;
    Some(status.vmhwm? << 10)
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> SelfCheckError {
    move |source| SelfCheckError::Io { what, source }
}

/// The child. Dropping this kills it.
struct Started(Child);

impl Started {
    fn new(servers: &[TcpListener]) -> Result<Self, SelfCheckError> {
        let addresses = servers.iter().filter_map(|server| server.local_addr().ok());
        let child = Command::new(child::PROGRAM)
            .arg(child::SUBCOMMAND)
            .args(addresses.map(|address| address.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io("starting a process"))?;
        Ok(Self(child))
    }

    /// Waits for the child's report of what it did.
    fn report(&mut self) -> Result<child::Report, SelfCheckError> {
        let stdout = self.0.stdout.take();
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(std::io::Read::take(stdout, MAX_LINE));
            lines
                .read_line(&mut line)
                .map_err(io("reading from a process"))?;
        }
        child::Report::parse(&line).ok_or(SelfCheckError::BadReport(line))
    }

    fn kill(&mut self) -> Result<(), SelfCheckError> {
        kill_process(OsPid::from_child(&self.0), Signal::TERM)
            .map_err(|error| io("killing a process")(error.into()))?;
        self.0.wait().map_err(io("waiting for a process"))?;
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Fails if it has exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
