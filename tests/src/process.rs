//! Processes that a test starts, and their end.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketType};

/// Below what `net.ipv4.ip_local_port_range` begins with by default, above what servers have, and
/// beside the ports of `tracer demo`.
const TEST_PORTS: Range<u16> = 28_000..32_768;

/// One of the programs in `bin/` (`fixture <mode> …`).
pub fn fixture() -> Command {
    let mut path = std::env::current_exe().unwrap();
    // target/<profile>/deps/<test> → target/<profile>/fixture
    path.pop();
    path.pop();
    path.push("fixture");
    assert!(path.exists(), "{} is not built", path.display());
    Command::new(path)
}

/// A TCP port of 127.0.0.1 that nobody uses and that no outgoing connection will take: below the
/// range from which the kernel serves `bind` to port 0 and `connect`. A process never gets the same
/// one twice, and nothing has listened there for it.
#[track_caller]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Where it begins depends on the process: tests of several packages may run at the same time.
    let first = usize::try_from(std::process::id()).unwrap() * 64;
    loop {
        let taken = usize::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        assert!(
            taken < TEST_PORTS.len(),
            "no port of {TEST_PORTS:?} is free"
        );
        let offset = u16::try_from((first + taken) % TEST_PORTS.len()).unwrap();
        let port = TEST_PORTS.start + offset;
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        if net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

/// A child that is killed when the test ends, by its own pid.
pub struct Guard {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Guard {
    /// Starts it with its output piped, for [`Self::line`], and its input, for [`Self::release`].
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let until = Instant::now() + Duration::from_secs(5);
        let mut child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // A program that was just written: what another test forks meanwhile holds it open
                // for writing until its own exec.
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < until =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{command:?}: {error}"),
            }
        };
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn ready(command: &mut Command) -> Self {
        let mut guard = Self::spawn(command);
        assert_eq!(guard.line(), "ready", "{command:?}");
        guard
    }

    /// Closes its standard input: a fixture that waits goes on.
    pub fn release(&mut self) {
        self.stdin = None;
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints, without the newline; empty when it has ended. Fails the test
    /// when neither happens.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self
            .lines
            .recv_timeout(super::patient(Duration::from_secs(20)))
        {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("{:?} says nothing", self.child),
        }
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Lets it go on and waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.release();
        self.child.wait().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Its children may wait for that.
        self.release();
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
