//! The client's end of the control socket: `tracer mark` and `tracer status`. Time and memory are
//! bounded, whatever the other end does.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tracer_model::Pid;

use super::protocol::{Answer, MAX_ANSWER, Request};
use super::run_dir::{pid_of, remove_if_stale, sockets};

/// How long a tracer may take to answer. It answers between two events.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tracer's answer, or why it did not answer.
#[derive(Debug)]
pub struct Reply {
    /// The process that the socket belongs to.
    pub pid: Pid,
    /// The answer, or the error.
    pub answer: io::Result<Answer>,
}

/// Sends a request to every running tracer, or only to the one with the process id `only`.
///
/// # Errors
///
/// If the run directory exists but can't be read.
pub fn ask(folder: &Path, only: Option<Pid>, request: &Request) -> io::Result<Vec<Reply>> {
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
            Ok(stream) => all.push(Reply {
                pid,
                answer: converse(stream, request),
            }),
            // That tracer has exited; if it was killed, its socket is still there.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
                ) =>
            {
                remove_if_stale(&path);
            }
            Err(error) => all.push(Reply {
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
        // One deadline for the whole answer, so that sending it byte by byte does not extend it.
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
            let why = "the answer is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if answer.ends_with(b"\n") {
            break;
        }
    }
    serde_json::from_slice(&answer).map_err(Into::into)
}
