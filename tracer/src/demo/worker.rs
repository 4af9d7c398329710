//! The demo's application, `tracer demo-worker --port PORT`. It answers `/` at once and `/slow` after
//! a while; on `/leak` it allocates memory until the kernel kills it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::children::{exit_with_parent, loopback, port, serve};
use super::error::ChildError;
use super::http;

/// How long `/slow` takes.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// How much memory the leak allocates per step.
const LEAK_STEP_BYTES: usize = 4 << 20;

/// The pause between steps; the limit is reached in about a second.
const LEAK_PAUSE: Duration = Duration::from_millis(40);

/// If no limit stops it, the leak must not exhaust the machine's memory.
const LEAK_MAX_STEPS: usize = 128;

/// Runs the worker until it is killed.
pub fn run(args: &[OsString]) -> Result<(), ChildError> {
    let port = port(args, "--port").ok_or(ChildError::Usage("demo-worker --port PORT"))?;
    exit_with_parent();
    // A shell that is protected from the OOM killer passes that on to the worker. If this fails, the
    // demo reports that nothing was killed.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    serve(loopback(port), handle)
}

fn handle(stream: &TcpStream) -> io::Result<()> {
    match http::read_request(stream)?.as_str() {
        "/" => http::respond(stream, "200 OK", "ok\n"),
        "/slow" => {
            thread::sleep(SLOW);
            http::respond(stream, "200 OK", "slow\n")
        }
        "/leak" => {
            leak();
            http::respond(stream, "507 Insufficient Storage", "no limit was reached\n")
        }
        _ => http::respond(stream, "404 Not Found", "no such page\n"),
    }
}

/// Allocates and touches memory until the kernel ends the process.
fn leak() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for _ in 0..LEAK_MAX_STEPS {
        // Not zeroes: zeroed memory would be mapped without being touched.
        held.push(vec![1; LEAK_STEP_BYTES]);
        std::hint::black_box(&held);
        thread::sleep(LEAK_PAUSE);
    }
}
