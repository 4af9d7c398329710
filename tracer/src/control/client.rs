//! The other end of the control socket: `tracer mark` and `tracer status`. A tracer that does not
//! answer, or says too much, can't make it wait or grow.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracer_model::Pid;

use super::protocol::{Answer, MAX_ANSWER, Request};

/// How long a tracer may take: it answers between two events.
const PATIENCE: Duration = Duration::from_secs(5);
/// More sockets than that are no tracers.
const MAX_SOCKETS: usize = 1024;

/// A tracer's answer, or what went wrong with asking it.
#[derive(Debug)]
pub struct Heard {
    /// Of which process the socket is.
    pub pid: Pid,
    /// What it said.
    pub answer: io::Result<Answer>,
}

/// The sockets in a run directory, by process id.
pub(super) fn sockets(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(Pid, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MAX_SOCKETS)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((pid_of(&path)?, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn pid_of(path: &Path) -> Option<Pid> {
    if path.extension() != Some(OsStr::new("sock")) {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Asks every tracer that runs, or the one of that process id.
///
/// # Errors
///
/// When the run directory is there and can't be read.
pub fn ask(folder: &Path, only: Option<Pid>, request: &Request) -> io::Result<Vec<Heard>> {
    if let Err(error) = fs::read_dir(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut all = Vec::new();
    for path in sockets(folder) {
        let Some(pid) = pid_of(&path).filter(|pid| only.is_none_or(|only| only == *pid)) else {
            continue;
        };
        match UnixStream::connect(&path) {
            Ok(stream) => all.push(Heard {
                pid,
                answer: converse(stream, request),
            }),
            // It has ended, with or without taking its socket along.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
                ) =>
            {
                super::server::remove_if_stale(&path);
            }
            Err(error) => all.push(Heard {
                pid,
                answer: Err(error),
            }),
        }
    }
    Ok(all)
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    let until = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        // For all of it: a drop now and then does not prolong it.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
        if answer.len() > MAX_ANSWER {
            let why = "it says more than an answer has";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if answer.ends_with(b"\n") {
            break;
        }
    }
    serde_json::from_slice(&answer).map_err(Into::into)
}
