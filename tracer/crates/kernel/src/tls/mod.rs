//! Follows HTTP requests inside TLS at proxies: finds the OpenSSL library that each proxy has mapped,
//! and keeps uprobes on it as long as a proxy has it mapped. The programs are loaded for the first
//! library.
//!
//! Any library with OpenSSL's functions and symbols works (LibreSSL; BoringSSL linked into a program
//! that was not stripped). Not covered: TLS written in Go (Caddy, Traefik) or Rust (rustls), stripped
//! static programs, early data (0-RTT), and HTTP/2 and HTTP/3 inside TLS.

mod elf;
mod mapped;
mod sites;
#[cfg(test)]
mod tests;
mod uses;
mod x86;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeLink, UProbeScope};
use elf::ElfError;
use mapped::Candidate;
use sites::sites;
use uses::Uses;

use tracer_model::{Hook, Pid, Timestamp, printable};

use super::error::Failure;
use super::object::verified_program;

/// When to look again at a process without a TLS library: it may have been looked at before its
/// program started, or may load the library later.
const LOOK_AGAIN: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// Most reasons that are kept.
const MAX_REASONS: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Tls {
    uses: Uses<Attached>,
    processes: BTreeMap<Pid, Looked>,
    /// Why hooks could not be attached to libraries.
    reasons: Vec<String>,
    /// Whether a library was found at a process that had none.
    changed: bool,
}

/// The hooks on one library; detached when dropped.
struct Attached {
    name: String,
    links: Vec<UProbeLink>,
}

impl Drop for Attached {
    /// Detaching a uprobe waits until no processor runs it any more: 0.1 s for each on a busy machine.
    /// Another thread waits, because when a proxy has exited, deaths have to be reported at once.
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.links);
        // If the thread cannot be created, the links are dropped here.
        let _ = thread::Builder::new()
            .name("detach".into())
            .spawn(move || drop(links));
    }
}

/// How often a process was looked at, and when to look next.
struct Looked {
    times: usize,
    due: Option<Timestamp>,
}

impl Tls {
    /// Follows the TLS connections of these processes, and of nobody else.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf, pids: &BTreeSet<Pid>, now: Timestamp) {
        let gone: Vec<Pid> = self
            .processes
            .keys()
            .filter(|pid| !pids.contains(pid))
            .copied()
            .collect();
        for pid in gone {
            self.processes.remove(&pid);
            self.uses.remove(pid);
        }
        for &pid in pids {
            self.processes.entry(pid).or_insert(Looked {
                times: 0,
                due: Some(now),
            });
        }
        self.look(ebpf, now);
    }

    /// Looks at the processes that are due.
    pub(super) fn look(&mut self, ebpf: &mut Ebpf, now: Timestamp) {
        let Self {
            uses,
            processes,
            reasons,
            changed,
        } = self;
        for (&pid, looked) in processes {
            if looked.due.is_none_or(|due| due > now) {
                continue;
            }
            let found = follow_process(uses, ebpf, pid, reasons);
            *changed |= found;
            let wait = LOOK_AGAIN.get(looked.times).filter(|_| !found);
            looked.times += 1;
            looked.due = wait.map(|&wait| now.after(wait));
        }
    }

    /// Returns whether the results of [`Self::covers`] and [`Self::hook`] may have changed since the
    /// last call.
    pub(super) fn clear_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether the TLS connections of `pid` are followed.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.uses.covers(pid)
    }

    /// The hook as shown in findings; None while there is no library to attach to.
    pub(super) fn hook(&self) -> Option<Hook> {
        let names: Vec<&str> = self.uses.libraries().map(|it| it.name.as_str()).collect();
        if names.is_empty() && self.reasons.is_empty() {
            return None;
        }
        Some(Hook {
            name: "tls".into(),
            via: (!names.is_empty())
                .then(|| printable(&format!("uprobe {}", names.join(", "))).into()),
            ok: !names.is_empty(),
            why: (!self.reasons.is_empty()).then(|| printable(&self.reasons.join("; ")).into()),
        })
    }
}

/// Attaches to the libraries of a process. Returns whether it has any, also when attaching failed.
fn follow_process(
    uses: &mut Uses<Attached>,
    ebpf: &mut Ebpf,
    pid: Pid,
    reasons: &mut Vec<String>,
) -> bool {
    // A process that has exited has no candidates, and soon is no longer followed.
    let candidates = mapped::candidates(pid).unwrap_or_default();
    let mut found = false;
    for candidate in candidates {
        let library = candidate.library;
        match uses.add(pid, candidate.id, || attach(ebpf, &candidate)) {
            Ok(suits) => found |= library || suits == uses::Suits::Attached,
            Err(error) => {
                found |= library;
                // A program without OpenSSL is the usual case, and not worth mentioning.
                let notable = library || !matches!(error, AttachError::Elf(_));
                if notable && reasons.len() < MAX_REASONS {
                    reasons.push(format!("{}: {error}", candidate.name));
                }
            }
        }
    }
    found
}

#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("{0}")]
    Elf(#[from] ElfError),
    #[error("{0}")]
    Probe(String),
}

impl From<Failure> for AttachError {
    fn from(failure: Failure) -> Self {
        Self::Probe(failure.what)
    }
}

/// Attaches all probes to a library, or none.
fn attach(ebpf: &mut Ebpf, library: &Candidate) -> Result<Attached, AttachError> {
    let functions = elf::functions(&library.file)?;
    // By descriptor: the file whose symbols were read, even if its path leads to another one now.
    let path = format!("/proc/self/fd/{}", library.file.as_raw_fd());
    let mut links = Vec::new();
    for site in sites(&library.file, &functions)? {
        let program: &mut UProbe = verified_program(ebpf, site.program)?;
        let link = program
            .attach(site.offset, &path, UProbeScope::AllProcesses)
            .and_then(|id| program.take_link(id))
            .map_err(|error| Failure::of(&error))?;
        links.push(link);
    }
    Ok(Attached {
        name: library.name.clone(),
        links,
    })
}
