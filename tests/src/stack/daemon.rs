//! A server in the foreground that stops its own children.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child process. Dropping it stops it with SIGTERM, and kills it if it does not exit.
pub struct Daemon(Child);

impl Daemon {
    /// Starts it. Its output goes to `log`.
    #[track_caller]
    pub fn spawn(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self(child)
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Stops it with this signal and waits until it exits; false if it had to be killed.
    pub fn stop(&mut self, signal: Signal) -> bool {
        let until = Instant::now() + Duration::from_secs(5);
        let asked = kill_process(Pid::from_child(&self.0), signal).is_ok();
        while asked && Instant::now() < until {
            if let Ok(Some(_)) = self.0.try_wait() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        false
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.stop(Signal::TERM);
        }
    }
}
