//! A terminal whose screen a test can read: a tmux server of its own with one window.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::patience::{patient, wait_until};

/// Between two looks at the window.
const PULSE: Duration = Duration::from_millis(30);

/// A window. Dropping it stops its server and the programs in it.
pub struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// A shell in a window of that size. Its prompt is `ready$ `.
    #[track_caller]
    pub fn start(columns: u16, rows: u16, environment: &[(&str, &str)]) -> Self {
        let tmux = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let size = [columns.to_string(), rows.to_string()];
        let mut command = tmux.command();
        // UTF-8 for tmux itself, whatever the window's locale is.
        command.args(["-u", "-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &size[0], "-y", &size[1]]);
        command.args(["env", "-u", "LC_ALL", "-u", "LC_CTYPE", "-u", "NO_COLOR"]);
        command.args(["PS1=ready$ ", "LANG=C.UTF-8"]);
        command.args(
            environment
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        // A shell that reads no start-up files.
        command.args(["sh", "+m"]);
        run(&mut command);
        tmux.wait_for("the shell's prompt", |shown| shown.contains("ready$"));
        tmux
    }

    /// Presses keys, by tmux's names for them.
    #[track_caller]
    pub fn press<S: AsRef<OsStr>>(&self, keys: impl IntoIterator<Item = S>) {
        run(self.command().arg("send-keys").args(keys));
    }

    /// Types a text.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        run(self.command().args(["send-keys", "-l", text]));
    }

    /// Gives the window another size.
    #[track_caller]
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = [columns.to_string(), rows.to_string()];
        run(self
            .command()
            .args(["resize-window", "-x", &size[0], "-y", &size[1]]));
    }

    /// The text in the window.
    #[track_caller]
    pub fn shown(&self) -> String {
        run(self.command().args(["capture-pane", "-p"]))
    }

    /// The text in the window, with its colours as escape sequences.
    #[track_caller]
    pub fn shown_in_colour(&self) -> String {
        run(self.command().args(["capture-pane", "-p", "-e"]))
    }

    /// A property of the window by its tmux format, such as `#{mouse_any_flag}`.
    #[track_caller]
    pub fn property(&self, format: &str) -> String {
        run(self.command().args(["display-message", "-p", format]))
            .trim()
            .to_owned()
    }

    /// Waits until the text in the window fits, and returns it. Fails the test after ten seconds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let limit = patient(Duration::from_secs(10));
        let until = Instant::now() + limit;
        while Instant::now() < until {
            last = self.shown();
            if fits(&last) {
                return last;
            }
            std::thread::sleep(PULSE);
        }
        panic!("not on the screen within {limit:?}: {what}. The screen:\n{last}");
    }

    /// Presses a key repeatedly until the text in the window fits. Fails the test after twenty
    /// times.
    #[track_caller]
    pub fn press_until(&self, key: &str, what: &str, fits: impl Fn(&str) -> bool) {
        for _ in 0..20 {
            self.press([key]);
            // The screen changes at once. Where it is late, pressing the key again does no harm.
            let until = Instant::now() + patient(Duration::from_millis(500));
            while Instant::now() < until {
                if fits(&self.shown()) {
                    return;
                }
                std::thread::sleep(PULSE);
            }
        }
        panic!(
            "not shown after pressing {key}: {what}. Shown:\n{}",
            self.shown()
        );
    }

    /// The pid of the process of this name that the window's shell starts.
    #[track_caller]
    pub fn child(&self, name: &str) -> u32 {
        let shell = self.property("#{pane_pid}");
        wait_until(name, Duration::from_secs(10), || {
            let children = format!("/proc/{shell}/task/{shell}/children");
            let children = std::fs::read_to_string(children).ok()?;
            children.split_whitespace().find_map(|pid| {
                let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                (comm.trim() == name).then(|| pid.parse().ok()).flatten()
            })
        })
    }

    fn command(&self) -> Command {
        let socket: PathBuf = self.folder.path().join("socket");
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").arg("-S").arg(socket);
        command
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Its own server only. Fails when that has exited already.
        let _ = self
            .command()
            .arg("kill-server")
            .stderr(Stdio::null())
            .status();
    }
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("tmux is not installed: run `cargo xtask setup --tests`");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
