//! The tracer to test: its binary, and complete runs of it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The tracer to test: `$TRACER_BIN`, else the newest build in the workspace.
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TRACER_BIN") {
        return path.into();
    }
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("tracer"));
    let newest = built
        .into_iter()
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|file| file.modified()).ok());
    newest.expect("no tracer is built: run `cargo build -p tracer`, or set TRACER_BIN")
}

/// Runs the tracer until it exits: status, standard output, standard error.
#[track_caller]
pub fn run_tracer<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> (ExitStatus, String, String) {
    let output = Command::new(binary())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the tracer could not be started");
    (
        output.status,
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
