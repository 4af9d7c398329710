//! supervisord with one program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::Daemon;
use super::installed::program;
use super::node::WARM_UP;

/// A supervisord that restarts its program whenever that exits. When it is stopped, it kills a
/// program that does not exit before [`Daemon`] kills supervisord.
pub struct Supervisor {
    _daemon: Daemon,
    config: PathBuf,
}

impl Supervisor {
    /// Starts it with a program of this name and command line.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, command: &str, port: u16) -> Self {
        let config = folder.join("supervisord.conf");
        let at = folder.display();
        let text = format!(
            "[supervisord]
nodaemon=true
user=root
logfile={at}/supervisord.log
pidfile={at}/supervisord.pid
childlogdir={at}

[unix_http_server]
file={at}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{at}/supervisor.sock

[program:{name}]
command={command}
environment=PORT=\"{port}\",WARM_UP_MS=\"{}\"
autorestart=true
startsecs=0
stopwaitsecs=3
stdout_logfile={at}/worker.log
redirect_stderr=true
",
            WARM_UP.as_millis()
        );
        fs::write(&config, text).unwrap();
        let daemon = Daemon::spawn(
            Command::new(program("supervisord"))
                .arg("-n")
                .arg("-c")
                .arg(&config),
            &folder.join("supervisord.out"),
        );
        Self {
            _daemon: daemon,
            config,
        }
    }

    /// The command line of its client, for a shell script.
    pub fn client(&self) -> String {
        format!("supervisorctl -c {}", self.config.display())
    }
}
