//! The last resort: a process is its program. Every process has a name here.

use tracer_model::{Manager, Service};

use crate::candidate::{Candidate, named};

/// The process by its executable, else by the name that the kernel knows.
pub(super) fn service(candidate: &Candidate<'_>) -> Service {
    let program = candidate.program();
    let evidence = match candidate.facts.exe.as_deref() {
        Some(exe) if !exe.is_empty() => format!("executable {exe}"),
        _ => format!("name {program}"),
    };
    named(&program, Manager::Process, &evidence).unwrap_or_else(|| Service {
        name: "unknown".into(),
        manager: Manager::Process,
        evidence: "neither executable nor name is known".into(),
    })
}
