//! pm2 with one app, in fork mode.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::asset::asset;
use super::node::{WARM_UP, node_command};
use crate::cgroup::MemoryCgroup;

/// A pm2 daemon with its own home. Dropping it stops the daemon and its app.
pub struct Pm2 {
    program: PathBuf,
    home: PathBuf,
}

impl Pm2 {
    /// Starts it with an app of this name: the node worker, or a shell script that puts itself in a
    /// cgroup and executes the worker.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, cgroup: Option<&MemoryCgroup>, port: u16) -> Self {
        Self::start_script(folder, name, &asset("worker.js"), cgroup, port)
    }

    /// The same with another script.
    #[track_caller]
    pub fn start_script(
        folder: &Path,
        name: &str,
        node: &Path,
        cgroup: Option<&MemoryCgroup>,
        port: u16,
    ) -> Self {
        let mut app = json!({
            "name": name,
            "script": node,
            "cwd": folder,
            "env": { "PORT": port.to_string(), "WARM_UP_MS": WARM_UP.as_millis().to_string() },
        });
        if let Some(cgroup) = cgroup {
            let script = folder.join("worker.sh");
            let text = node_command(Some(cgroup), node);
            fs::write(&script, format!("exec {text}\n")).unwrap();
            app["script"] = json!(script);
            app["interpreter"] = json!("sh");
        }
        let config = folder.join("ecosystem.config.json");
        fs::write(&config, json!({ "apps": [app] }).to_string()).unwrap();
        let pm2 = Self {
            program: program(),
            home: folder.join("pm2"),
        };
        let output = pm2.command().arg("start").arg(config).output().unwrap();
        assert!(output.status.success(), "pm2 start: {output:?}");
        pm2
    }

    /// The command line of its client, for a shell script.
    pub fn client(&self) -> String {
        format!(
            "PM2_HOME={} {}",
            self.home.display(),
            self.program.display()
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PM2_HOME", &self.home).stdin(Stdio::null());
        command
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        // If it fails, the result of the test is more important.
        let _ = self.command().arg("kill").output();
    }
}

#[track_caller]
fn program() -> PathBuf {
    let cache = std::env::var_os("TRACER_TEST_CACHE")
        .expect("TRACER_TEST_CACHE is not set: run `cargo xtask test`");
    Path::new(&cache).join("pm2/node_modules/.bin/pm2")
}
