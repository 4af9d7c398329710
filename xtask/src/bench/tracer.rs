//! The tracer under test: the release build, as users run it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::build;

pub(super) struct Tracer {
    child: Child,
    /// Counts the failed requests that are told.
    reader: JoinHandle<u64>,
}

impl Tracer {
    /// Returns once the hooks are armed.
    pub(super) fn start() -> Result<Self> {
        let mut child = Command::new(build::binary()?)
            .args(["watch", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the tracer")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the tracer's output")?);
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .context("reading the first finding")?;
        if !line.contains("\"kind\":\"start\"") {
            bail!("the tracer did not start; it wrote {line:?}");
        }
        let reader = thread::spawn(move || told(stdout));
        Ok(Self { child, reader })
    }

    /// Ends it; gives the number of failed requests that it told.
    pub(super) fn stop(mut self) -> Result<u64> {
        Command::new("kill")
            .arg("-INT")
            .arg(self.child.id().to_string())
            .status()
            .context("ending the tracer")?;
        let status = self.child.wait().context("waiting for the tracer")?;
        if !status.success() {
            bail!("the tracer failed ({status})");
        }
        self.reader
            .join()
            .map_err(|_| anyhow!("counting findings failed"))
    }
}

fn told(stdout: BufReader<ChildStdout>) -> u64 {
    stdout
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.contains("\"kind\":\"request_failed\""))
        .filter_map(|line| {
            let (_, rest) = line.split_once("\"count\":")?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u64>().ok()
        })
        .sum()
}
