//! Why tracing could not start: what failed, and what to do about it.

use std::fmt;
use std::io;

use rustix::process::{Resource, getrlimit};
use thiserror::Error;

use super::plan::Refusal;

/// Why tracing did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The tracer cannot work on this machine.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel did not accept the object that holds the programs and maps.
    #[error("cannot load the kernel programs: {0}")]
    Load(Failure),
    /// A program could not be loaded or attached.
    #[error("cannot attach the kernel program {program}: {failure}")]
    Program {
        /// The program's name.
        program: &'static str,
        /// What failed.
        failure: Failure,
    },
    /// A map of the object is missing, or cannot be used.
    #[error("cannot use the map {map} of the kernel programs: {failure}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// What failed.
        failure: Failure,
    },
    /// The runtime cannot wait for the ring buffers.
    #[error("cannot wait for the kernel's ring buffers: {0}")]
    Wait(io::Error),
}

/// Something that failed in aya or in the kernel, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed, with its causes.
    pub(crate) what: String,
    /// What to do; empty when nothing is known to help.
    hint: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

const MEMLOCK: &str = "the limit on locked memory is too low: raise it with `ulimit -l unlimited` \
                       (systemd: LimitMEMLOCK=infinity)";
const PERMISSION: &str = "run as root outside of containers, or with CAP_SYS_ADMIN, or with \
                          CAP_BPF and CAP_PERFMON";
const REJECTED: &str = "this kernel's verifier rejected the program: please report this";
const NO_MEMORY: &str =
    "free memory on the machine, or raise the memory limit of the tracer's cgroup";

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            hint: "",
        }
    }

    /// An error with the whole chain of its causes. Of the verifier's log, which can be pages long,
    /// only the reason is kept.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut what = String::new();
        let mut cause = Some(error);
        let mut os = None;
        let mut rejected = false;
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                os = io.raw_os_error();
            }
            let mut line = error.to_string();
            if let Some((head, log)) = line.split_once("Verifier output:") {
                rejected = true;
                let head = head.trim_end_matches([' ', '.']);
                line = format!("{head}: {}", verifier_reason(log));
            }
            if !what.contains(&line) {
                if !what.is_empty() {
                    what.push_str(": ");
                }
                what.push_str(&line);
            }
            cause = error.source();
        }
        let memlock_limited = getrlimit(Resource::Memlock).current.is_some();
        let hint = match os {
            Some(libc::EACCES | libc::EINVAL) if rejected => REJECTED,
            Some(libc::EPERM | libc::ENOMEM) if memlock_limited => MEMLOCK,
            Some(libc::EPERM | libc::EACCES) => PERMISSION,
            Some(libc::ENOMEM) => NO_MEMORY,
            _ => "",
        };
        Self { what, hint }
    }
}

/// The reason in a verifier log: its last line that is not statistics.
fn verifier_reason(log: &str) -> &str {
    const STATISTICS: [&str; 3] = ["verification time", "stack depth", "processed "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|it| line.starts_with(it)))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("the BPF_PROG_LOAD syscall failed. Verifier output: {log}")]
    struct Rejected {
        log: &'static str,
        #[source]
        error: io::Error,
    }

    #[test]
    fn of_a_verifier_log_only_the_reason_is_kept() {
        let failure = Failure::of(&Rejected {
            log: "0: R1=ctx()\nR1 invalid mem access 'scalar'\nprocessed 2 insns (limit 1000000)\n",
            error: io::Error::from_raw_os_error(libc::EACCES),
        });
        assert_eq!(
            failure.to_string(),
            "the BPF_PROG_LOAD syscall failed: R1 invalid mem access 'scalar': Permission denied \
             (os error 13); this kernel's verifier rejected the program: please report this"
        );
    }

    #[test]
    fn a_cause_that_repeats_its_effect_is_shown_once() {
        let error = io::Error::other(io::Error::other("no such program"));
        assert_eq!(Failure::of(&error).to_string(), "no such program");
    }
}
