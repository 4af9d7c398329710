//! Clients that retry nothing, and what they saw of each request: curl for one request at a time,
//! sockets for many requests and for unusual bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::patience::wait_until;

/// Longer than the time-out of any proxy in the tests.
const LIMIT: Duration = Duration::from_secs(20);

/// What a client saw of a request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status of the response, if one came.
    pub status: Option<u16>,
    /// A failure of the connection, such as a truncated response.
    pub error: Option<String>,
    /// When it was sent.
    pub began: Instant,
    /// When it was finished.
    pub ended: Instant,
}

impl Outcome {
    /// Whether it is a failed request.
    pub fn failed(&self) -> bool {
        self.error.is_some() || self.status.is_none_or(|status| status >= 500)
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A request for curl.
#[derive(Clone, Debug)]
pub struct Curl {
    base: String,
    args: Vec<String>,
}

impl Curl {
    /// To the proxy at `base`: `https://127.0.0.1:8443`. It accepts any certificate.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            args: Vec::new(),
        }
    }

    /// With additional arguments for curl.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Outcome {
        self.send("GET", target)
    }

    /// POST with this body.
    #[track_caller]
    pub fn post(&self, target: &str, body: &str) -> Outcome {
        self.clone().args(&["--data", body]).send("POST", target)
    }

    /// Sends it and waits for the response. The arguments must fit the method.
    #[track_caller]
    pub fn send(&self, method: &str, target: &str) -> Outcome {
        let began = Instant::now();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure", "--globoff"])
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(["--max-time", &LIMIT.as_secs().to_string()])
            .args(&self.args)
            .arg(format!("{}{target}", self.base))
            // Ignores proxies that the environment configures.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .output()
            .expect("curl is not installed: run `cargo xtask setup --tests`");
        let status = String::from_utf8_lossy(&output.stdout);
        Outcome {
            method: method.to_owned(),
            target: target.to_owned(),
            status: status.parse().ok().filter(|&status| status != 0),
            error: (!output.status.success())
                .then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            began,
            ended: Instant::now(),
        }
    }

    /// GET in another thread.
    pub fn get_meanwhile(&self, target: &str) -> JoinHandle<Outcome> {
        let (curl, target) = (self.clone(), target.to_owned());
        thread::spawn(move || curl.get(&target))
    }
}

/// One GET over a new connection, without curl: for hundreds at a time.
pub fn get(proxy: SocketAddr, target: &str) -> Outcome {
    let began = Instant::now();
    let request = format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    let answer = connect(proxy).and_then(|mut stream| {
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        // After a reset, too, the bytes before it count.
        let end = stream.read_to_end(&mut answer);
        end.map(|_| answer)
    });
    let (status, error) = match answer {
        Ok(answer) => match statuses(&answer)[..] {
            [status] => (Some(status), None),
            _ => (None, Some("no response".to_owned())),
        },
        Err(error) => (None, Some(error.to_string())),
    };
    Outcome {
        method: "GET".to_owned(),
        target: target.to_owned(),
        status,
        error,
        began,
        ended: Instant::now(),
    }
}

/// A connection whose reads time out.
///
/// # Errors
///
/// Nothing listens there.
pub fn connect(proxy: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Sends these pieces over one connection, each in its own segment, and reads until the proxy
/// closes it.
#[track_caller]
pub fn pieces(proxy: SocketAddr, pieces: &[&str]) -> Vec<u8> {
    let mut stream = connect(proxy).unwrap();
    for piece in pieces {
        stream.write_all(piece.as_bytes()).unwrap();
        wait_until("the proxy to acknowledge a segment", LIMIT, || {
            (unacknowledged(&stream).unwrap() == 0).then_some(())
        });
    }
    let mut answer = Vec::new();
    // A reset ends the response too.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// How many sent bytes the peer has not acknowledged.
fn unacknowledged(stream: &TcpStream) -> io::Result<libc::c_int> {
    let mut bytes = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (which is TIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes)
}

/// Sends these requests over one connection, each after the response to the previous one has begun,
/// and reads until the proxy closes it.
#[track_caller]
pub fn in_turn(proxy: SocketAddr, requests: &[&str]) -> Vec<u8> {
    let mut stream = connect(proxy).unwrap();
    let mut answers = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        while statuses(&answers).len() < number {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).unwrap();
            assert!(
                count > 0,
                "closed after {}",
                String::from_utf8_lossy(&answers)
            );
            answers.extend_from_slice(&some[..count]);
        }
        stream.write_all(request.as_bytes()).unwrap();
    }
    // A reset ends the response too.
    let _ = stream.read_to_end(&mut answers);
    answers
}

/// The statuses of the responses in these bytes, including interim ones.
pub fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let status = |rest: &str| rest.get(2..5).and_then(|digits| digits.parse().ok());
    text.split("HTTP/1.").skip(1).filter_map(status).collect()
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[test]
    fn statuses_are_found_in_pipelined_responses() {
        let answers =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhiHTTP/1.0 502 No\r\n\r\n";
        assert_eq!(statuses(answers), [100, 200, 502]);
        assert!(statuses(b"").is_empty());
        assert!(statuses(b"HTTP/1.").is_empty());
    }
}
