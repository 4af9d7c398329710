//! The incident as a client causes and sees it: a slow request, a leak that kills the worker, failed
//! requests, recovery.

use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracer_model::WallTime;

use super::error::DemoError;
use super::http;
use super::stopper::Stopper;

/// How long the stack may take to start, and the worker to come back.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// How long one request may take; the leak takes about a second.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The pause between requests while the worker is down.
const RETRY: Duration = Duration::from_millis(400);

/// The time between the slow request and the leak.
const HEAD_START: Duration = Duration::from_millis(300);

/// A request and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it was sent.
    pub at: WallTime,
    /// `GET`.
    pub method: &'static str,
    /// `/`, `/slow` or `/leak`.
    pub path: &'static str,
    /// The response's status; none without a response.
    pub status: Option<u16>,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_jiff().to_zoned(jiff::tz::TimeZone::system());
        write!(f, "{} ", at.strftime("%H:%M:%S%.3f"))?;
        write!(f, "{} {:<6} ", self.method, self.path)?;
        match self.status {
            Some(status) => write!(f, "{status}"),
            None => f.write_str("no response"),
        }
    }
}

/// What the client and the worker's parent saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLog {
    /// The requests in the order in which they were sent.
    pub exchanges: Vec<Exchange>,
    /// The signal that killed the worker.
    pub worker_signal: Option<i32>,
    /// The pid of the worker that replaced it.
    pub restarted_pid: u32,
}

/// Waits until the worker answers through the proxy.
pub(super) fn wait_until_ready(proxy: SocketAddr, stopper: &Stopper) -> Result<(), DemoError> {
    until_answered(proxy, stopper, Duration::from_millis(20)).map(|_| ())
}

/// Causes the incident, and waits until the worker is back.
pub(super) fn run(proxy: SocketAddr, stopper: &Stopper) -> Result<Vec<Exchange>, DemoError> {
    let mut seen = vec![get(proxy, "/")];
    let slow = thread::spawn(move || get(proxy, "/slow"));
    thread::sleep(HEAD_START);
    let leak = get(proxy, "/leak");
    // The worker's death failed this request as well. If the client's thread panicked, it is left out.
    seen.extend(slow.join());
    seen.push(leak);
    seen.extend(until_answered(proxy, stopper, RETRY)?);
    Ok(seen)
}

/// Requests `/` until the response is 200, and returns all exchanges.
fn until_answered(
    proxy: SocketAddr,
    stopper: &Stopper,
    pause: Duration,
) -> Result<Vec<Exchange>, DemoError> {
    let started = Instant::now();
    let mut seen = Vec::new();
    loop {
        if stopper.stopped() {
            return Err(DemoError::Stopped);
        }
        let exchange = get(proxy, "/");
        let status = exchange.status;
        seen.push(exchange);
        if status == Some(200) {
            return Ok(seen);
        }
        if started.elapsed() > READY_LIMIT {
            return Err(DemoError::Timeout {
                what: "the worker did not answer through the proxy",
                seconds: READY_LIMIT.as_secs(),
                detail: match status {
                    Some(status) => format!(": the last response was {status}"),
                    None => ": the proxy did not respond".to_owned(),
                },
            });
        }
        thread::sleep(pause);
    }
}

fn get(proxy: SocketAddr, path: &'static str) -> Exchange {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Exchange {
        at: WallTime(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)),
        method: "GET",
        path,
        status: http::get(proxy, path, REQUEST_LIMIT).ok(),
    }
}
