//! Services that the tracer knows by name, and work that they do in turn.

use std::env;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Driven, exits};

/// The first argument, for this program to be a service.
const ARGUMENT: &str = "service";
/// Pieces of work at a time: few enough that the pipes are never full.
const AT_ONCE: usize = 32;

/// The time that a piece of work may take: it is one short process.
const PATIENCE: Duration = Duration::from_secs(20);

/// One process for each service, under supervisord according to its environment. Dropping them
/// stops them.
pub struct Services {
    processes: Vec<Child>,
    /// A byte for each piece of work, for the service that has waited longest.
    work: Option<File>,
    /// A byte for each piece that is done.
    done: File,
}

impl Services {
    pub fn start(count: usize) -> Result<Self> {
        let program = env::current_exe().context("finding this program")?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).context("making a pipe");
        let ((their_work, work), (done, their_done)) = (pipe()?, pipe()?);
        let mut services = Self {
            processes: Vec::with_capacity(count),
            work: Some(work.into()),
            done: done.into(),
        };
        for number in 0..count {
            let service = Command::new(&program)
                .arg(ARGUMENT)
                .env("SUPERVISOR_PROCESS_NAME", format!("service{number}"))
                .stdin(their_work.try_clone().context("handing on a pipe")?)
                .stdout(their_done.try_clone().context("handing on a pipe")?)
                .spawn()
                .with_context(|| format!("starting service {number} of {count}"))?;
            services.processes.push(service);
        }
        Ok(services)
    }

    /// The services take turns in starting processes that exit at once.
    pub fn drive(&mut self, time: Duration) -> Result<Driven> {
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < time {
            let work = self.work.as_mut().context("the services have exited")?;
            work.write_all(&[0; AT_ONCE]).context("handing out work")?;
            self.finish(AT_ONCE)?;
            count += AT_ONCE as u64;
        }
        Ok(Driven {
            count,
            time: began.elapsed(),
        })
    }

    /// Waits until `pieces` of work are done. A service that fails prints why, and exits without
    /// doing its piece.
    fn finish(&mut self, mut pieces: usize) -> Result<()> {
        let patience = Timespec::try_from(PATIENCE).context("a time to wait")?;
        let mut done = [0; AT_ONCE];
        while pieces > 0 {
            let mut ready = [PollFd::new(&self.done, PollFlags::IN)];
            let any = poll(&mut ready, Some(&patience)).context("waiting for the services")?;
            ensure!(any > 0, "{pieces} pieces of work are not done");
            let wanted = done.len().min(pieces);
            let now = self.done.read(&mut done[..wanted]);
            let now = now.context("waiting for the services")?;
            ensure!(now > 0, "the services have exited");
            pieces -= now;
        }
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // At the end of its input, each exits by itself.
        self.work = None;
        for process in &mut self.processes {
            let _ = process.wait();
        }
    }
}

/// If this program was started as a service, works until there is no more work, and returns true.
pub fn served() -> Result<bool> {
    if env::args().nth(1).as_deref() != Some(ARGUMENT) {
        return Ok(false);
    }
    let mut byte = [0];
    // Without a buffer: it takes a byte only when it does that piece.
    while rustix::io::read(io::stdin(), &mut byte).context("waiting for work")? == 1 {
        exits::once().context("making a process")?;
        rustix::io::write(io::stdout(), &byte).context("reporting that it is done")?;
    }
    Ok(true)
}
