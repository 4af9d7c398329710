//! What attribution may look at of a process, and how a service is named. Decides nothing.

use std::borrow::Cow;

use tracer_model::{Comm, ContainerFacts, Manager, ProcessFacts, Service};

/// Longest name of a service, in characters.
pub(crate) const NAME_CHARS: usize = 200;
/// Longest evidence, in characters.
const EVIDENCE_CHARS: usize = 400;

/// A process whose service is in question.
pub struct Candidate<'a> {
    /// The process; for one too short-lived for /proc, only what the kernel recorded.
    pub facts: &'a ProcessFacts,
    /// Its parent, when that is known.
    pub parent: Option<Parent<'a>>,
    /// TCP ports the process listens on.
    pub ports: &'a [u16],
    /// The container with this id (full or abbreviated), when an engine reported it.
    pub container: &'a dyn Fn(&str) -> Option<&'a ContainerFacts>,
}

/// The parent of a process.
#[derive(Clone, Copy)]
pub struct Parent<'a> {
    /// Its service.
    pub service: &'a Service,
    /// Its facts: those of the process that it was forked from until it runs a program of its own.
    pub facts: &'a ProcessFacts,
}

impl<'a> Candidate<'a> {
    /// The parent's service.
    pub(crate) fn parent_service(&self) -> Option<&'a Service> {
        self.parent.map(|parent| parent.service)
    }

    /// The parent's name, as the kernel knows it.
    pub(crate) fn parent_comm(&self) -> Option<Comm> {
        self.parent.map(|parent| parent.facts.task.comm)
    }

    /// The first argument without the padding that rewritten titles leave; empty when unknown.
    pub(crate) fn title(&self) -> &'a str {
        self.facts.args.first().map_or("", |arg| arg.trim())
    }

    /// Name of the program: of the executable, else of the first argument, else the main thread's.
    pub(crate) fn program(&self) -> Cow<'a, str> {
        if let Some(exe) = self.facts.exe.as_deref().filter(|exe| !exe.is_empty()) {
            return basename(exe).into();
        }
        // A login shell's first argument is `-bash`; a title is words.
        let arg = self.title().trim_start_matches('-');
        if !arg.is_empty() && !arg.contains([' ', ':']) {
            return basename(arg).into();
        }
        self.facts.task.comm.to_text().into()
    }

    /// The evidence for what the cgroup path shows.
    pub(crate) fn cgroup_evidence(&self) -> String {
        format!(
            "cgroup {}",
            self.facts.cgroup_path.as_deref().unwrap_or_default()
        )
    }
}

/// A service; `None` when nothing of the name is left after cleaning.
pub(crate) fn named(name: &str, manager: Manager, evidence: &str) -> Option<Service> {
    let name = clean(name, NAME_CHARS);
    (!name.is_empty()).then(|| Service {
        name: name.into(),
        manager,
        evidence: clean(evidence, EVIDENCE_CHARS).into(),
    })
}

/// Printable text of at most `chars` characters: names come from whoever runs the process.
fn clean(text: &str, chars: usize) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(chars)
        .collect()
}

/// The part after the last `/`.
pub(crate) fn basename(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}
