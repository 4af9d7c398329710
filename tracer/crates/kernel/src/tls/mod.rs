//! Follows HTTP inside TLS at proxies: finds the OpenSSL that each has mapped, and keeps uprobes on
//! it as long as one of them has it. The programs are brought into the kernel with the first.
//!
//! Any library with OpenSSL's functions and symbols will do (LibreSSL; BoringSSL linked into a
//! program that was not stripped). Not covered: TLS written in Go (Caddy, Traefik) or Rust
//! (rustls), stripped static programs, early data (0-RTT), and HTTP/2 and HTTP/3 inside of TLS.

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

use super::load::{Failure, loaded};

/// After how long a process that had no TLS library mapped is looked at again: it may have been
/// seen before its program had begun, or load the library later.
const LOOK_AGAIN: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// Most reasons kept to be told.
const MAX_REASONS: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Tls {
    uses: Uses<Attached>,
    processes: BTreeMap<Pid, Looked>,
    /// Why libraries can't be attached to.
    reasons: Vec<String>,
    /// Whether a process that had no library was found to have one.
    changed: bool,
}

/// The hooks on one library; detached when dropped.
struct Attached {
    name: String,
    links: Vec<UProbeLink>,
}

impl Drop for Attached {
    /// The kernel has whoever takes a uprobe back wait until no processor runs it any more, 0.1 s
    /// each on a busy machine. A proxy that is gone is when there are deaths to be told at once, so
    /// that another thread waits.
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.links);
        // Without a thread they are dropped here.
        let _ = thread::Builder::new()
            .name("detach".into())
            .spawn(move || drop(links));
    }
}

/// How often a process was looked at, and when it is next.
struct Looked {
    times: usize,
    due: Option<Timestamp>,
}

impl Tls {
    /// Follows what these processes read and write, and nobody else any more.
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

    /// Whether [`Self::covers`] or [`Self::hook`] may tell something else than when this was last
    /// called.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether what `pid` reads and writes is followed.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.uses.covers(pid)
    }

    /// The hook, when there is anything to tell: libraries attached to, or why not.
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

/// Whether the process has a library that is followed now, or one that never will be.
fn follow_process(
    uses: &mut Uses<Attached>,
    ebpf: &mut Ebpf,
    pid: Pid,
    reasons: &mut Vec<String>,
) -> bool {
    // A process that is gone is soon taken off the list.
    let candidates = mapped::candidates(pid).unwrap_or_default();
    let mut found = false;
    for candidate in candidates {
        let library = candidate.library;
        match uses.add(pid, candidate.id, || attach(ebpf, &candidate)) {
            Ok(suits) => found |= library || suits == uses::Suits::Attached,
            Err(error) => {
                found |= library;
                // A program without OpenSSL is the usual case, not worth a word.
                let told = library || !matches!(error, AttachError::Elf(_));
                if told && reasons.len() < MAX_REASONS {
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
    fn from(Failure(what, _): Failure) -> Self {
        Self::Probe(what)
    }
}

/// Everything, or nothing.
fn attach(ebpf: &mut Ebpf, library: &Candidate) -> Result<Attached, AttachError> {
    let functions = elf::functions(&library.file)?;
    // By descriptor: the very file whose symbols were read, whatever its path leads to by now.
    let path = format!("/proc/self/fd/{}", library.file.as_raw_fd());
    let mut links = Vec::new();
    for site in sites(&library.file, &functions)? {
        let program: &mut UProbe = loaded(ebpf, site.program)?;
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
