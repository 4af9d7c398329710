//! The programs that run in guests: the tracer, the tests, the scenarios. They are linked statically,
//! so that the guests' libraries don't matter, and built with debug checks in a target folder of
//! their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::disk;
use super::scenario::{NATIVE, Plan};
use crate::run;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs, by their path on the disk of programs.
pub(super) struct Programs(Vec<(String, PathBuf)>);

/// Builds them.
pub(super) fn build() -> Result<Programs> {
    let mut programs = Vec::new();
    let mut collect = |command: &mut Command| -> Result<()> {
        for artifact in artifacts(command)? {
            programs.extend(program(&artifact));
        }
        Ok(())
    };
    collect(cargo()?.args(["build", "--package", "tracer", "--bin", "tracer"]))?;
    let mut tests = cargo()?;
    // This also builds the package's programs, with the guests' agent.
    tests.args(["test", "--no-run", "--package", "tracer-tests"]);
    for name in NATIVE {
        tests.args(["--test", name]);
    }
    collect(&mut tests)?;
    Ok(Programs(programs))
}

fn cargo() -> Result<Command> {
    let mut command = run::cargo()?;
    command
        .env("CARGO_TARGET_DIR", run::target_folder()?.join("vm"))
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // Unoptimised code takes three times as long when emulated.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    Ok(command)
}

/// Runs `command`, a cargo build, and returns its artifacts.
fn artifacts(command: &mut Command) -> Result<Vec<Value>> {
    command.args(["--target", TARGET]);
    println!("$ cargo {}", words(command));
    let output = command
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("building the programs for the guests failed, see above");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(messages
        .filter(|message: &Value| message["reason"] == "compiler-artifact")
        .collect())
}

fn words(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
    words.join(" ")
}

/// Where an artifact goes on the disk, if it is one of the programs: tests into `deps/`, because
/// they look for the other programs in the folder above.
fn program(artifact: &Value) -> Option<(String, PathBuf)> {
    let file = artifact["executable"].as_str()?;
    let name = artifact["target"]["name"].as_str()?;
    let kind = artifact["target"]["kind"][0].as_str()?;
    let tests = artifact["profile"]["test"].as_bool()?;
    let at = match (kind, tests) {
        ("test", _) => format!("deps/{name}"),
        ("bin", false) => name.to_owned(),
        _ => return None,
    };
    Some((at, file.into()))
}

impl Programs {
    /// Makes the disk of programs for guests that follow `plan`.
    pub(super) fn disk(&self, plan: &Plan, work: &Path, image: &Path) -> Result<()> {
        let folder = work.join("programs");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("deps"))?;
        for (at, file) in &self.0 {
            let to = folder.join(at);
            fs::hard_link(file, &to)
                .or_else(|_| fs::copy(file, &to).map(drop))
                .with_context(|| format!("copying {}", file.display()))?;
        }
        fs::write(folder.join("plan.json"), plan.json())?;
        disk::plain(&folder, image, "vmprograms", 16)?;
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}

/// Makes an empty data disk.
pub(super) fn data_disk(work: &Path, image: &Path) -> Result<()> {
    let folder = work.join("data");
    fs::create_dir_all(&folder)?;
    disk::plain(&folder, image, "vmdata", 64)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}
