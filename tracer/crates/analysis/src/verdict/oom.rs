//! OOM kills: who reached which limit.

use tracer_model::quantity::bytes;
use tracer_model::{Cause, printable};

use super::conclusion::{Tail, Verdict};
use super::oom_facts::{OomFacts, Scope};

pub(super) fn verdict(oom: &OomFacts) -> Verdict {
    let along = if oom.along {
        " (along with another victim)"
    } else {
        ""
    };
    match &oom.scope {
        Scope::Cgroup { path, limit_bytes } => {
            let limit = limit_bytes.map_or_else(String::new, |limit| format!(" {}", bytes(limit)));
            let of = path
                .as_deref()
                .filter(|_| oom.above)
                .map_or_else(String::new, |path| format!(" of {}", printable(path)));
            Verdict::new(
                Cause::OomCgroup,
                format!("killed by the kernel{along}: cgroup limit{limit}{of} reached"),
                Tail::PeakAndUp,
                format!("OOM (cgroup limit{limit})"),
            )
        }
        Scope::Global => Verdict::new(
            Cause::OomGlobal,
            format!("killed by the kernel{along}: the machine ran out of memory"),
            Tail::PeakAndUp,
            "OOM (machine-wide)",
        ),
        Scope::Unknown => Verdict::new(
            Cause::OomGlobal,
            format!("killed by the kernel{along}: out of memory, scope not known"),
            Tail::PeakAndUp,
            "OOM (scope not known)",
        ),
    }
}
