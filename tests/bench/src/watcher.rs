//! What watches while a load runs: nothing, the tracer as users run it, or another tool.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Time itself: no tool prints when it has attached. Some print a header when they begin to.
const PEER_ATTACHES: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// Another tool that reports the same events.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
}

pub static EXITSNOOP: Peer = Peer {
    name: "exitsnoop",
    program: "exitsnoop",
    args: &[],
};
pub static TCPSTATES: Peer = Peer {
    name: "tcpstates",
    program: "tcpstates",
    args: &[],
};
pub static BPFTRACE_EXITS: Peer = Peer {
    name: "bpftrace",
    program: "bpftrace",
    args: &[
        "-e",
        "tracepoint:sched:sched_process_exit { printf(\"%d %s\\n\", pid, comm); }",
    ],
};
/// From SYN_SENT to CLOSE.
pub static BPFTRACE_CONNECTS: Peer = Peer {
    name: "bpftrace",
    program: "bpftrace",
    args: &[
        "-e",
        "tracepoint:sock:inet_sock_set_state /args->oldstate == 2 && args->newstate == 7/ \
         { printf(\"%d %s %d\\n\", pid, comm, args->dport); }",
    ],
};

impl Peer {
    /// `None` if it is not installed.
    pub fn start(&self) -> Result<Option<Watching>> {
        // Debian installs the tools in folders for administrators.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.program);
        command
            .args(self.args)
            .env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        match Watching::spawn(&mut command, |_| {}) {
            Ok(mut watching) => {
                sleep(PEER_ATTACHES);
                if let Some(status) = watching.child.try_wait().context("looking at a peer")? {
                    bail!("{} exited ({status})", self.name);
                }
                Ok(Some(watching))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("starting {}", self.name)),
        }
    }
}

/// A process that sleeps, for comparison. It changes the machine as a running tool does: one more
/// process, and a thread that reads its output.
pub fn nobody() -> Result<Watching> {
    Watching::spawn(Command::new("sleep").arg("infinity"), |_| {}).context("starting sleep")
}

/// A running tool whose output is read.
pub struct Watching {
    child: Child,
    reader: JoinHandle<()>,
}

impl Watching {
    fn spawn(
        command: &mut Command,
        mut line: impl FnMut(&str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take();
        let reader = thread::spawn(move || {
            // Affects only this thread. It should read a line when it is written, not when a busy
            // machine gets to it. Without the privilege, that delay is part of the result.
            let _ = rustix::process::setpriority_process(None, -20);
            let Some(stdout) = stdout else { return };
            for text in lines(stdout) {
                line(&text);
            }
        });
        Ok(Self { child, reader })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).context("sending a signal")
    }

    /// Stops it and reads its output to the end; false if it had to be killed.
    pub fn stop(mut self) -> Result<bool> {
        // Processes that a script starts in the background ignore SIGINT.
        self.signal(Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        let mut killed = false;
        while self
            .child
            .try_wait()
            .context("waiting until it exits")?
            .is_none()
        {
            if Instant::now() > until && !killed {
                self.child.kill().context("killing it")?;
                killed = true;
            }
            sleep(Duration::from_millis(10));
        }
        self.reader
            .join()
            .map_err(|_| anyhow!("reading its output failed"))?;
        Ok(!killed)
    }
}

fn lines(from: impl Read) -> impl Iterator<Item = String> {
    BufReader::with_capacity(1 << 20, from)
        .lines()
        .map_while(Result::ok)
}

/// The tracer, with its hooks armed.
pub struct Tracer {
    watching: Watching,
    totals: std::sync::mpsc::Receiver<Totals>,
    /// Time from its start to its first line.
    pub armed_after: Duration,
}

/// What it reported.
#[derive(Default)]
pub struct Totals {
    /// The number of failed requests.
    pub requests_failed: u64,
    /// The last finding.
    pub end: Value,
}

impl Totals {
    pub fn total(&self, what: &str) -> u64 {
        self.end[what].as_u64().unwrap_or_default()
    }
}

impl Tracer {
    /// Starts it, and returns once its hooks are armed. Calls `line` with the text of each finding.
    pub fn start(
        binary: &Path,
        args: &[&str],
        line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self> {
        Self::start_without("", binary, args, line)
    }

    /// The same as if the kernel lacked these features of `TRACER_WITHOUT`.
    pub fn start_without(
        features: &str,
        binary: &Path,
        args: &[&str],
        mut line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self> {
        let (send, totals) = std::sync::mpsc::channel();
        let (armed, is_armed) = std::sync::mpsc::channel();
        let mut sum = Totals::default();
        let began = Instant::now();
        let mut command = Command::new(binary);
        command.args(["watch", "--json"]).args(args);
        command.env("TRACER_WITHOUT", features);
        let watching = Watching::spawn(&mut command, move |text| {
            line(text);
            if text.contains("\"kind\":\"start\"") {
                let _ = armed.send(began.elapsed());
            } else if text.contains("\"kind\":\"request_failed\"") {
                sum.requests_failed += count_of(text);
            } else if text.contains("\"kind\":\"end\"") {
                sum.end = serde_json::from_str(text).unwrap_or_default();
                let _ = send.send(std::mem::take(&mut sum));
            }
        })
        .with_context(|| format!("starting {}", binary.display()))?;
        let armed_after = is_armed
            .recv_timeout(PATIENCE)
            .context("the tracer did not start: try `tracer doctor`")?;
        Ok(Self {
            watching,
            totals,
            armed_after,
        })
    }

    pub fn pid(&self) -> u32 {
        self.watching.pid()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.watching.signal(signal)
    }

    pub fn stop(self) -> Result<Totals> {
        let exited = self.watching.stop()?;
        ensure!(exited, "the tracer did not exit within {PATIENCE:?}");
        let totals = self.totals.recv().context("the tracer printed no `end`")?;
        ensure!(totals.end.is_object(), "the tracer's `end` is not JSON");
        Ok(totals)
    }
}

/// The number of requests that a line counts.
fn count_of(line: &str) -> u64 {
    line.split_once("\"count\":")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}
