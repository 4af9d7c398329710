//! Whether what the kernel programs read at offsets from type information is what /proc says.
//!
//! Starts a process whose facts are known, lets it listen, connect and fail to, kills it, and
//! compares field by field. This file causes; [`compare`] judges, purely; [`child`] is what is
//! started.

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

use expected::Expected;

pub mod child;
mod compare;
mod expected;

/// How long a slow machine may take for any of it.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest line that the child may say.
const MAX_LINE: u64 = 64 << 10;

/// Why nothing could be compared.
#[derive(Debug, Error)]
pub enum SelfCheckError {
    /// The child did not do its part.
    #[error("self-check: {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        source: std::io::Error,
    },
    /// The child said something else than what it did.
    #[error("self-check: its process said {0:?}")]
    Confused(String),
    /// /proc does not tell about the child.
    #[error("self-check: /proc/{0} can't be read")]
    NoProc(Pid),
    /// No hook told of the child's end.
    #[error("a process was killed, but its death was not seen within {0:?}")]
    Unseen(Duration),
}

/// What came of a self-check.
#[derive(Debug)]
pub struct SelfCheck {
    /// From the kill until the death was read from the rings.
    pub took: Duration,
    /// What was compared.
    pub fields: Vec<Field>,
}

/// Causes what is to be seen, and compares.
pub async fn run(kernel: &mut Kernel) -> Result<SelfCheck, SelfCheckError> {
    let hierarchy = kernel.hierarchy();
    let own = std::process::id();
    // One per family that this machine has.
    let servers: Vec<TcpListener> = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    ]
    .into_iter()
    .filter_map(|address| TcpListener::bind(address).ok())
    .collect();
    let mut seen = Vec::new();
    let mut child = Started::new(&servers)?;
    let said = child.said()?;
    let pid = child.0.id();
    let unix = kernel
        .hooks()
        .iter()
        .any(|hook| hook.name == "connect" && hook.ok);
    let expected = Expected {
        child: process_facts(pid, hierarchy).ok_or(SelfCheckError::NoProc(pid))?,
        parent: process_facts(own, hierarchy).ok_or(SelfCheckError::NoProc(own))?,
        args: said.args,
        first_comm: own_name(),
        peak_bytes: peak_bytes(pid)
            .ok_or(SelfCheckError::NoProc(pid))?
            .max(peak_bytes(own).ok_or(SelfCheckError::NoProc(own))?),
        listeners: said.listeners,
        connections: said.connections,
        refused: said.refused,
        missing: said.missing.filter(|_| unix),
    };
    kernel.drain(&mut seen);
    let killed = Instant::now();
    child.kill()?;
    let took = loop {
        kernel.drain(&mut seen);
        if seen.iter().any(|one| is_end(one, pid)) {
            break killed.elapsed();
        }
        if !kernel.has_pending() {
            let readable = timeout_at(killed + LIMIT, kernel.readable()).await;
            readable
                .map_err(|_| SelfCheckError::Unseen(LIMIT))?
                .map_err(io("waiting for the rings"))?;
        }
    };
    // Its sockets close after its death; what is sent without a wake-up lies in the rings by then.
    settle(kernel, &mut seen, expected.listeners.len(), pid).await;
    Ok(SelfCheck {
        took,
        fields: compare::fields(&expected, &seen),
    })
}

/// Reads on until all its listeners are down, or it takes too long.
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

fn is_end(observation: &Observation, pid: Pid) -> bool {
    matches!(&observation.what, What::Exited(exit) if exit.task.key.pid == pid)
}

/// What the kernel calls a process that was just started from this program.
fn own_name() -> String {
    // exec names a process after the file it was given.
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

/// The child; killed when dropped.
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

    /// What the child has done, once it has.
    fn said(&mut self) -> Result<child::Said, SelfCheckError> {
        let stdout = self.0.stdout.take();
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(std::io::Read::take(stdout, MAX_LINE));
            lines
                .read_line(&mut line)
                .map_err(io("reading what a process did"))?;
        }
        child::Said::parse(&line).ok_or(SelfCheckError::Confused(line))
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
        // Fails when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
