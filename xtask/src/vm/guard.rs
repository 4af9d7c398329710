//! A folder for something half-made, filled by commands that run as root. If this program is killed
//! meanwhile, the commands are killed too and the folder is removed (`guard.sh` does both).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Runs a command and watches for the exit of this program.
const SCRIPT: &str = include_str!("guard.sh");

/// The folder.
pub(super) struct Workplace {
    folder: PathBuf,
}

impl Workplace {
    /// Makes an empty folder. If an earlier run was killed, waits until its folder is removed.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        let workplace = Self { folder };
        workplace.clear()?;
        let folder = &workplace.folder;
        fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(workplace)
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Shows `command` and runs it as root; it must succeed.
    pub(super) fn run(&self, command: &Command) -> Result<()> {
        println!("$ {}", run::shown(&run::elevated(command)?));
        self.quietly(command)
    }

    /// Removes the folder.
    pub(super) fn remove(self) -> Result<()> {
        self.clear()
    }

    fn clear(&self) -> Result<()> {
        let mut remove = Command::new("rm");
        remove.args(["-rf", "--one-file-system"]).arg(&self.folder);
        self.quietly(&remove)
    }

    fn quietly(&self, command: &Command) -> Result<()> {
        let mut guard = Command::new("sh");
        guard
            .args(["-c", SCRIPT, "guard"])
            .arg(&self.folder)
            .arg(command.get_program())
            .args(command.get_args());
        let mut child = run::elevated(&guard)?
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        // `wait` would close it, and the script takes that for the exit of this program.
        let alive = child.stdin.take();
        let status = child.wait();
        drop(alive);
        let status =
            status.with_context(|| format!("waiting for {}", command.get_program().display()))?;
        if !status.success() {
            bail!("{} failed ({status})", run::shown(command));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Starts the script in a folder of its own, with this shell script as its command.
    fn start(name: &str, script: &str) -> (PathBuf, std::process::Child) {
        let above = std::env::temp_dir().join(format!("tracer-{name}-{}", std::process::id()));
        let folder = above.join("made");
        fs::create_dir_all(&folder).unwrap();
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(&folder)
            .args(["sh", "-c", script, "made"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        (folder, child)
    }

    fn wait_for(path: &Path) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !path.exists() {
            assert!(Instant::now() < deadline, "{} never came", path.display());
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_exit_of_the_starting_program_kills_the_command_and_removes_the_folder() {
        let (folder, mut child) = start("guard-exit", "touch \"$1/begun\"; exec sleep 1000");
        wait_for(&folder.join("begun"));
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(!folder.exists());
        fs::remove_dir(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_command_that_exits_by_itself_leaves_its_folder_and_its_status() {
        let (folder, mut child) = start("guard-status", "touch \"$1/begun\"; exit 7");
        let alive = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        drop(alive);
        assert!(folder.join("begun").exists());
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
