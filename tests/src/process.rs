//! Processes that a test starts and cleans up.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::patience::patient;

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

/// A child process. Dropping it kills it.
pub struct Guard {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Guard {
    /// Starts it with its output piped for [`Self::line`] and its input for [`Self::release`].
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let until = Instant::now() + Duration::from_secs(5);
        let mut child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // A program that was just written: a process that another test forks meanwhile
                // has it open for writing until its exec.
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

    /// Starts it and waits until it prints `ready`.
    #[track_caller]
    pub fn ready(command: &mut Command) -> Self {
        let mut guard = Self::spawn(command);
        assert_eq!(guard.line(), "ready", "{command:?}");
        guard
    }

    /// Closes its standard input, so that a waiting fixture continues.
    pub fn release(&mut self) {
        self.stdin = None;
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints, without the newline, or nothing if it exits. Fails the test when
    /// neither happens.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(patient(Duration::from_secs(20))) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("{:?} prints nothing", self.child),
        }
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Lets it continue and waits until it exits.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.release();
        self.child.wait().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Its children may wait for this.
        self.release();
        // Fails when it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
