//! What to do about a death: concrete, by cause and by what starts the service. Says nothing that
//! is not known.

use tracer_model::quantity::bytes;
use tracer_model::{Cause, Manager, Service, printable};

use super::verdict::{OomFacts, Scope};

/// One to three items, most useful first; none for deaths that were wanted.
pub(super) fn advice(
    cause: Cause,
    service: &Service,
    oom: Option<&OomFacts>,
    heap_limit_bytes: Option<u64>,
) -> Vec<String> {
    let name = printable(&service.name);
    let mut items = Vec::new();
    match cause {
        Cause::OomCgroup => {
            let limit = match oom.map(|oom| &oom.scope) {
                Some(Scope::Cgroup { limit_bytes, .. }) => *limit_bytes,
                _ => None,
            };
            if let (Some(heap), Some(limit)) = (heap_limit_bytes, limit)
                && heap > limit
            {
                items.push(format!(
                    "node's heap may grow to about {} in a cgroup of {}: set --max-old-space-size to {}",
                    bytes(heap),
                    bytes(limit),
                    (limit >> 20) * 3 / 4
                ));
            }
            items.push(match service.manager {
                Manager::Systemd => format!(
                    "raise MemoryMax= or find what grows: systemctl show -p MemoryMax {name}"
                ),
                Manager::Container => {
                    format!("raise the memory limit of container {name}, or find what grows")
                }
                Manager::PhpFpm => {
                    "lower pm.max_children or memory_limit: together they exceed the cgroup's limit"
                        .to_owned()
                }
                _ => "raise the limit of its cgroup, or find what grows".to_owned(),
            });
            if service.manager == Manager::Systemd {
                items.push(
                    "one process's OOM kill stops the whole unit unless OOMPolicy=continue"
                        .to_owned(),
                );
            }
        }
        Cause::OomGlobal | Cause::OomDaemon => {
            items.push("the machine is short of memory: add memory or swap".to_owned());
            items.push(match service.manager {
                Manager::Systemd => format!(
                    "give services limits of their own (MemoryMax=), so that one can't take {name} along"
                ),
                Manager::Pm2 => "set max_memory_restart, so that apps restart first".to_owned(),
                Manager::PhpFpm => "lower pm.max_children".to_owned(),
                _ => "give services memory limits of their own".to_owned(),
            });
        }
        Cause::HeapLimit => {
            items.push(
                "raise --max-old-space-size (NODE_OPTIONS), or find the leak: \
                 --heapsnapshot-near-heap-limit=1"
                    .to_owned(),
            );
        }
        Cause::Crash => items.push("look at the core dump: coredumpctl info".to_owned()),
        Cause::Error => items.push(match service.manager {
            Manager::Systemd => format!("read its last lines: journalctl -u {name} -n 50"),
            Manager::Supervisor => format!("read its last lines: supervisorctl tail {name} stderr"),
            Manager::Pm2 => format!("read its last lines: pm2 logs {name} --lines 50"),
            Manager::Container => format!("read its last lines: docker logs --tail 50 {name}"),
            _ => "read the last lines of its log".to_owned(),
        }),
        Cause::Killed | Cause::Clean | Cause::Unknown => {}
    }
    if matches!(
        cause,
        Cause::OomCgroup | Cause::OomGlobal | Cause::HeapLimit | Cause::Crash | Cause::Error
    ) {
        match service.manager {
            Manager::Systemd => items.push(format!(
                "Restart=on-failure brings it back: systemctl show -p Restart {name}"
            )),
            Manager::Supervisor => {
                items.push("check autorestart and startretries of the program".to_owned());
            }
            _ => {}
        }
    }
    items.truncate(3);
    items
}
