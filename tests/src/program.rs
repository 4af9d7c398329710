//! A tracer whose output goes to files, byte for byte: to compare what two of them print, or to
//! kill one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::binary::binary;
use crate::patience::wait_until;

/// A tracer with its output in files. Dropping it kills it.
pub struct Program {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Program {
    /// Starts `tracer` with these arguments. Its output goes to `<name>.out` and `<name>.err` in
    /// the folder.
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::start_other(folder, name, binary(), args)
    }

    /// The same with a program that executes the tracer.
    #[track_caller]
    pub fn start_other<S: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .expect("the tracer could not be started");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    #[track_caller]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    /// Its standard error so far.
    #[track_caller]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until this is in its standard output.
    #[track_caller]
    pub fn prints(&self, text: &str) {
        let has = || self.stdout().contains(text).then_some(());
        wait_until(&format!("on standard output: {text}"), LIMIT, has);
    }

    /// Waits until this is in its standard error.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let has = || self.stderr().contains(text).then_some(());
        wait_until(&format!("on standard error: {text}"), LIMIT, has);
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it exits.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait_until("the exit of the tracer", LIMIT, || {
            self.child.try_wait().unwrap()
        })
    }

    /// Stops it with SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails when it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LIMIT: Duration = Duration::from_secs(30);
