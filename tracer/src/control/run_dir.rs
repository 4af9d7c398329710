//! The directory that contains the control sockets of the running tracers, each named `PID.sock`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tracer_model::Pid;

/// The environment variable that names another run directory.
pub const RUN_DIR_VARIABLE: &str = "TRACER_RUN_DIR";

/// How many directory entries are read at most.
const MAX_SOCKETS: usize = 1024;

/// The run directory.
pub fn run_dir() -> PathBuf {
    std::env::var_os(RUN_DIR_VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/run/tracer"), PathBuf::from)
}

/// The sockets in a run directory, sorted by process id.
pub(super) fn sockets(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(Pid, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MAX_SOCKETS)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((pid_of(&path)?, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The process id in a socket's name.
pub(super) fn pid_of(path: &Path) -> Option<Pid> {
    if path.extension() != Some(OsStr::new("sock")) {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Removes a socket that nobody listens on, which a killed tracer left behind.
pub(super) fn remove_if_stale(path: &Path) {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if UnixStream::connect(path).is_err_and(refused) {
        let _ = fs::remove_file(path);
    }
}
