//! Known vulnerabilities of dependencies, from the RustSec database.
//!
//! The database is on GitHub, which a build machine may not be able to reach. In that case a copy
//! fetched earlier is used; without one the check is reported as not done, never as passed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::verdict::Verdict;
use crate::run;

pub(super) fn check() -> Result<Verdict> {
    let fetched = run::status(run::cargo()?.args(["deny", "fetch", "db"]))?.success();
    let mut command = run::cargo()?;
    command.args(["deny", "--all-features"]);
    if !fetched {
        if !has_copy(&folder()?) {
            return Ok(Verdict::Unchecked(
                "the RustSec advisory database on GitHub can't be reached, and there is no copy of \
                 it here; dependencies were NOT checked for known vulnerabilities"
                    .to_owned(),
            ));
        }
        println!("the advisory database can't be reached: using the copy fetched last");
        command.arg("--offline");
    }
    command.args(["check", "advisories"]);
    Verdict::of(command)
}

/// Where cargo-deny keeps its copies of databases.
fn folder() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    Ok(home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("advisory-dbs"))
}

/// Whether `folder` contains a database; a failed fetch leaves an empty one.
fn has_copy(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.path().join("crates").is_dir())
    })
}
