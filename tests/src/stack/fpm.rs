//! PHP-FPM with one pool of two workers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::daemon::Daemon;
use super::installed::program;
use crate::cgroup::MemoryCgroup;
use crate::patience::wait_until;

/// A PHP-FPM whose pool `shop` listens on a unix socket.
pub struct PhpFpm {
    folder: PathBuf,
    socket: PathBuf,
    daemon: Option<Daemon>,
}

impl PhpFpm {
    /// Starts it, in the cgroup if one is given.
    #[track_caller]
    pub fn start(folder: &Path, cgroup: Option<&MemoryCgroup>) -> Self {
        let at = folder.display();
        let socket = folder.join("shop.sock");
        let text = format!(
            "[global]
error_log = {at}/fpm.log
process_control_timeout = 5s
[shop]
user = root
group = root
listen = {}
pm = static
pm.max_children = 2
php_admin_value[memory_limit] = -1
",
            socket.display()
        );
        fs::write(folder.join("fpm.conf"), text).unwrap();
        let mut fpm = Self {
            folder: folder.to_owned(),
            socket,
            daemon: None,
        };
        fpm.start_again(cgroup);
        fpm
    }

    /// Starts the master, and waits until it listens.
    #[track_caller]
    pub fn start_again(&mut self, cgroup: Option<&MemoryCgroup>) {
        let mut command = Command::new(program("php-fpm"));
        // As root, because the folder of the pool is open to root only.
        command
            .args(["-F", "-R", "-y"])
            .arg(self.folder.join("fpm.conf"));
        if let Some(cgroup) = cgroup {
            cgroup.enter(&mut command);
        }
        self.daemon = Some(Daemon::spawn(&mut command, &self.folder.join("fpm.out")));
        wait_until("PHP-FPM's socket", Duration::from_secs(5), || {
            self.socket.exists().then_some(())
        });
    }

    /// Stops the master, which stops its workers; false if it had to be killed.
    pub fn stop(&mut self) -> bool {
        self.daemon
            .take()
            .is_some_and(|mut daemon| daemon.stop(Signal::QUIT))
    }

    /// Pid of the master.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
