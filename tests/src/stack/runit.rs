//! runit with one service: `runsvdir` over a folder of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::daemon::Daemon;
use super::installed::program;
use super::node::WARM_UP;

/// A `runsvdir` whose `runsv` restarts its service whenever that exits.
pub struct Runit {
    daemon: Daemon,
    service: PathBuf,
}

impl Runit {
    /// Starts it with a service of this name and command line, in a service directory as Debian
    /// has them: linked from where `runsvdir` looks.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, command: &str, port: u16) -> Self {
        let directory = folder.join("sv").join(name);
        let scanned = folder.join("service");
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir(&scanned).unwrap();
        write_run(&directory, command, port);
        let service = scanned.join(name);
        symlink(&directory, &service).unwrap();
        let daemon = Daemon::spawn(
            Command::new(program("runsvdir")).arg("-P").arg(&scanned),
            &folder.join("runsvdir.out"),
        );
        Self { daemon, service }
    }

    /// A command for its service: `restart`.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(program("sv"));
        command.arg(verb).arg(&self.service);
        command
    }
}

impl Drop for Runit {
    fn drop(&mut self) {
        // At a SIGHUP, unlike a SIGTERM, `runsvdir` takes every `runsv` with it. The client waits
        // until that is gone, and kills a service that lingers; it fails when there is none left.
        self.daemon.stop(Signal::HUP);
        let _ = self.command("force-shutdown").output();
    }
}

/// The script `run` of a service directory.
#[track_caller]
pub(super) fn write_run(directory: &Path, command: &str, port: u16) {
    let run = directory.join("run");
    let warm_up_ms = WARM_UP.as_millis();
    let text = format!(
        "#!/bin/sh\nexport PORT={port} WARM_UP_MS={warm_up_ms}\nexec 2>&1\nexec {command}\n"
    );
    fs::write(&run, text).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
}
