//! Known vulnerabilities of dependencies, from the RustSec database.
//!
//! The database lives on GitHub, which a build machine may not reach: then a copy fetched earlier
//! is used, and without one the check is reported as not made, never as passed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Verdict, passed};
use crate::run;

pub(super) fn check() -> Result<Verdict> {
    let fetched = run::status(run::cargo()?.args(["deny", "fetch", "db"]))?.success();
    let mut command = run::cargo()?;
    command.args(["deny", "--all-features"]);
    if !fetched {
        if !has_copy(&folder()?) {
            return Ok(Verdict::Unchecked(
                "https://github.com/RustSec/advisory-db cannot be reached and was never fetched \
                 before; known vulnerabilities of dependencies were NOT looked for"
                    .to_owned(),
            ));
        }
        println!("the advisory database cannot be reached: using the copy fetched last");
        command.arg("--offline");
    }
    command.args(["check", "advisories"]);
    passed(command)
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

/// Whether a database is among `folder`'s entries; a fetch that failed leaves an empty one.
fn has_copy(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.path().join("crates").is_dir())
    })
}
