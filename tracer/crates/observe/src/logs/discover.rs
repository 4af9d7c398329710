//! Which files of a proxy's process may be its log of failed requests: regular files that it has open for
//! writing. Its lines show whether one is.

use std::fs;
use std::path::{Path, PathBuf};

use tracer_model::{ProcessKey, ProxyProcess};
use tracer_proxylog::{FailuresIn, Profile, profile_of};

use super::super::proc_dir;
use super::follow::{FileId, Found, Place};

/// Processes looked at.
const MAX_PROCESSES: usize = 256;
/// File descriptors looked at per process, lowest first: logs are opened before connections.
const MAX_DESCRIPTORS: usize = 1024;

/// A file that a proxy writes.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) found: Found,
    pub(super) profile: &'static Profile,
    /// Who has it open; the oldest first.
    pub(super) holders: Vec<ProcessKey>,
    /// Whether its name, or being the process's output, shows that it is a log: an empty file has
    /// no lines to judge by.
    pub(super) named_log: bool,
    path: PathBuf,
    root: PathBuf,
}

impl Candidate {
    /// Where its successor will be.
    pub(super) fn place(&self) -> Option<Place> {
        Place::seen_from(&self.root, &self.path)
    }
}

/// The files that `proxies` have open for writing, without those that are named as access logs where
/// failed requests are in another log.
pub(super) fn candidates(proxies: &[ProxyProcess]) -> Vec<Candidate> {
    let mut proxies: Vec<ProxyProcess> = proxies.to_vec();
    proxies.sort_by_key(|one| (one.key.start_ticks, one.key.pid));
    let mut all: Vec<Candidate> = Vec::new();
    for proxy in proxies.iter().take(MAX_PROCESSES) {
        let Some(profile) = profile_of(proxy.kind) else {
            continue;
        };
        let mut own = open_files(proxy, profile);
        if proc_dir::start_ticks(proxy.key.pid) != Some(proxy.key.start_ticks) {
            continue;
        }
        for one in own.drain(..) {
            match all.iter_mut().find(|other| other.found.id == one.found.id) {
                Some(other) if other.holders.contains(&proxy.key) => {}
                Some(other) => other.holders.push(proxy.key),
                None => all.push(one),
            }
        }
    }
    all
}

/// Who of `proxies` has the file open, among `candidates`.
pub(super) fn holders(candidates: &[Candidate], id: FileId) -> Option<&Candidate> {
    candidates.iter().find(|one| one.found.id == id)
}

fn open_files(proxy: &ProxyProcess, profile: &'static Profile) -> Vec<Candidate> {
    let process = PathBuf::from(format!("/proc/{}", proxy.key.pid));
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    descriptors
        .flatten()
        .take(MAX_DESCRIPTORS)
        .filter_map(|entry| {
            let number = entry.file_name();
            let path = fs::read_link(entry.path()).ok()?;
            if !may_be_log(&path, profile) || !writes(&process.join("fdinfo").join(&number)) {
                return None;
            }
            let output = number == "1" || number == "2";
            Some(Candidate {
                found: Found::at(&entry.path())?,
                profile,
                holders: vec![proxy.key],
                named_log: output || named_log(&path),
                path,
                root: process.join("root"),
            })
        })
        .collect()
}

/// Whether the descriptor may be written to.
fn writes(fdinfo: &Path) -> bool {
    let Ok(text) = fs::read_to_string(fdinfo) else {
        return false;
    };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// By name only; sockets and pipes have names without a slash.
fn may_be_log(path: &Path, profile: &Profile) -> bool {
    let elsewhere = ["/dev", "/proc", "/sys"];
    path.is_absolute()
        && !elsewhere.iter().any(|tree| path.starts_with(tree))
        && (profile.failures_in == FailuresIn::AccessLog || !lower_name(path).contains("access"))
}

fn named_log(path: &Path) -> bool {
    let name = lower_name(path);
    ["log", "err", "access"]
        .iter()
        .any(|part| name.contains(part))
}

fn lower_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
}
