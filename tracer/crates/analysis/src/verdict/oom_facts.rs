//! What is known of an OOM kill: which limit was reached.

use tracer_model::{OomReport, OomScope, OomVictim, ProcessFacts};

use crate::world::Cgroups;

/// What reached its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A cgroup.
    Cgroup {
        /// Its path.
        path: Option<String>,
        /// Its limit, bytes.
        limit_bytes: Option<u64>,
    },
    /// The machine.
    Global,
    /// It is not known.
    Unknown,
}

/// An OOM kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomFacts {
    /// What reached its limit.
    pub scope: Scope,
    /// Whether this process was killed along with the victim, not as the victim.
    pub along: bool,
    /// Whether the cgroup is not its own but one above it.
    pub above: bool,
}

impl Scope {
    /// From the hook, else the kernel log, else the cgroup that was full when the victim was chosen.
    pub fn of(
        victim: Option<&OomVictim>,
        report: Option<&OomReport>,
        facts: &ProcessFacts,
        cgroups: &Cgroups,
    ) -> Self {
        let reported = victim
            .and_then(|victim| victim.scope.as_ref())
            .or(report.map(|report| &report.scope));
        match reported {
            Some(OomScope::Global) => Self::Global,
            Some(OomScope::Cgroup {
                id,
                path,
                limit_bytes,
            }) => {
                let known = cgroups.get(*id);
                let path = path
                    .clone()
                    .or_else(|| known.map(|cgroup| cgroup.path.clone()));
                let own = |_: &u64| path.is_some() && facts.memory_limit_cgroup == path;
                let limit_bytes = limit_bytes
                    .or_else(|| known.and_then(|cgroup| cgroup.limit_bytes))
                    .or_else(|| path.as_deref().and_then(|path| cgroups.limit_of(path)))
                    .or_else(|| facts.memory_limit_bytes.filter(own));
                Self::Cgroup {
                    path: path.map(String::from),
                    limit_bytes,
                }
            }
            None => match victim.and_then(|victim| victim.full_cgroup) {
                Some(full) => Self::Cgroup {
                    path: cgroups.get(full.id).map(|cgroup| cgroup.path.to_string()),
                    limit_bytes: Some(full.limit_bytes),
                },
                None => Self::Unknown,
            },
        }
    }
}

impl OomFacts {
    /// When the scope is not known and the process was about as large as the limit of its cgroup,
    /// that limit is the scope. `bytes`: how large the process was.
    #[must_use]
    pub fn or_by_size(mut self, facts: &ProcessFacts, bytes: u64) -> Self {
        if self.scope != Scope::Unknown {
            return self;
        }
        // The last pages were refused, and some of its memory is charged to other cgroups.
        let full = |limit: &u64| bytes >= limit - limit / 32;
        if let Some(limit) = facts.memory_limit_bytes.filter(full) {
            self.above = facts.memory_limit_cgroup != facts.cgroup_path;
            self.scope = Scope::Cgroup {
                path: facts.memory_limit_cgroup.as_deref().map(Into::into),
                limit_bytes: Some(limit),
            };
        }
        self
    }
}
