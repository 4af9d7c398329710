//! s6 with one service: `s6-svscan` over a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::Daemon;
use super::installed::program;
use super::runit::write_run;

/// An `s6-svscan` whose `s6-supervise` restarts its service whenever that exits. Asked to exit, it
/// stops its services first.
pub struct S6 {
    _daemon: Daemon,
    service: PathBuf,
}

impl S6 {
    /// Starts it with a service of this name and command line.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, command: &str, port: u16) -> Self {
        let scanned = folder.join("service");
        let service = scanned.join(name);
        fs::create_dir_all(&service).unwrap();
        write_run(&service, command, port);
        let daemon = Daemon::spawn(
            Command::new(program("s6-svscan")).arg(&scanned),
            &folder.join("s6-svscan.out"),
        );
        Self {
            _daemon: daemon,
            service,
        }
    }

    /// A command for its service: `-r`.
    pub fn command(&self, option: &str) -> Command {
        let mut command = Command::new(program("s6-svc"));
        command.arg(option).arg(&self.service);
        command
    }
}
