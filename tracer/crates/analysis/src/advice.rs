//! What to do about a death: concrete, by cause and by what starts the service. Says nothing that
//! is not known.

use tracer_model::quantity::bytes;
use tracer_model::{Cause, Service, printable};

use super::managers::{self, Advice};
use super::verdict::{OomFacts, Scope};

/// The most items that anyone reads.
const MAX_ITEMS: usize = 3;

/// One to three items, most useful first; none for deaths that were wanted.
pub(super) fn advice(
    cause: Cause,
    service: &Service,
    oom: Option<&OomFacts>,
    heap_limit_bytes: Option<u64>,
) -> Vec<String> {
    let name = printable(&service.name);
    let manager = managers::advice(service.manager);
    let mut items = match cause {
        Cause::OomCgroup => at_cgroup_limit(manager, &name, oom, heap_limit_bytes),
        Cause::OomGlobal | Cause::OomDaemon => when_memory_is_short(manager, &name),
        Cause::HeapLimit => vec![
            "raise --max-old-space-size (NODE_OPTIONS), or find the leak: \
             --heapsnapshot-near-heap-limit=1"
                .to_owned(),
        ],
        Cause::Crash => vec!["look at the core dump: coredumpctl info".to_owned()],
        Cause::Error => vec![match manager.read_log {
            Some(sentence) => sentence(&name),
            None => "read the last lines of its log".to_owned(),
        }],
        Cause::Killed | Cause::Clean | Cause::Unknown => Vec::new(),
    };
    let may_be_restarted = matches!(
        cause,
        Cause::OomCgroup | Cause::OomGlobal | Cause::HeapLimit | Cause::Crash | Cause::Error
    );
    if let Some(restart) = manager.restart.filter(|_| may_be_restarted) {
        items.push(restart(&name));
    }
    items.truncate(MAX_ITEMS);
    items
}

fn at_cgroup_limit(
    manager: Advice,
    name: &str,
    oom: Option<&OomFacts>,
    heap_limit_bytes: Option<u64>,
) -> Vec<String> {
    let limit_bytes = match oom.map(|oom| &oom.scope) {
        Some(Scope::Cgroup { limit_bytes, .. }) => *limit_bytes,
        _ => None,
    };
    let mut items = Vec::new();
    if let (Some(heap), Some(limit)) = (heap_limit_bytes, limit_bytes)
        && heap > limit
    {
        items.push(format!(
            "node's heap may grow to about {} in a cgroup of {}: set --max-old-space-size to {}",
            bytes(heap),
            bytes(limit),
            (limit >> 20) * 3 / 4
        ));
    }
    items.push(match manager.at_cgroup_limit {
        Some(sentence) => sentence(name),
        None => "raise the limit of its cgroup, or find what grows".to_owned(),
    });
    items.extend(manager.after_cgroup_limit.map(str::to_owned));
    items
}

fn when_memory_is_short(manager: Advice, name: &str) -> Vec<String> {
    vec![
        "the machine is short of memory: add memory or swap".to_owned(),
        match manager.when_memory_is_short {
            Some(sentence) => sentence(name),
            None => "give services memory limits of their own".to_owned(),
        },
    ]
}
