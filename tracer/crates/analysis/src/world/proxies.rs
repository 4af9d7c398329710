//! The proxies among the processes, and where they listen. Updated as processes come and go, so that
//! queries are cheap.

use std::collections::BTreeSet;

use tracer_model::{Endpoint, ProcessKey, ProxyProcess, Service};

use super::machine::World;
use super::names::same;

impl World {
    /// The running processes that are proxies, by key.
    pub fn proxies(&self) -> Vec<ProxyProcess> {
        self.processes
            .proxies()
            .map(|(key, kind)| ProxyProcess { key, kind })
            .collect()
    }

    /// A number that changes whenever the set of proxy processes, or of TCP addresses that any of
    /// them holds, may have changed.
    pub fn proxies_version(&self) -> u64 {
        // Both only grow, so a change of one never hides a change of the other.
        self.processes.proxies_version() + self.listeners.tcp_version()
    }

    /// The TCP ports that proxies listen on, in any network namespace.
    pub fn proxy_ports(&self) -> BTreeSet<u16> {
        self.processes
            .proxies()
            .flat_map(|(key, _)| self.tcp_ports_held_by(key))
            .collect()
    }

    /// The TCP ports that a proxy's process, its parent or its children listen on: two proxies of the
    /// same name may run side by side.
    pub fn ports_around(&self, proxy: ProcessKey) -> BTreeSet<u16> {
        let parent = self.processes.find(proxy).map(|process| process.parent);
        let is_near = |key: &ProcessKey| {
            let process = self.processes.get(*key);
            *key == proxy
                || Some(*key) == parent
                || process.is_some_and(|process| process.parent == proxy)
        };
        self.processes
            .proxies()
            .map(|(key, _)| key)
            .filter(is_near)
            .flat_map(|key| self.tcp_ports_held_by(key))
            .collect()
    }

    /// The machine's proxy, if all proxy processes belong to one service.
    pub fn only_proxy(&self) -> Option<&Service> {
        let mut proxies = self.proxy_services();
        let first = proxies.next()?;
        proxies.all(|other| same(first, other)).then_some(first)
    }

    fn tcp_ports_held_by(&self, key: ProcessKey) -> impl Iterator<Item = u16> {
        self.listeners
            .held_by(key)
            .filter_map(|(_, address)| match address {
                Endpoint::Tcp(address) => Some(address.port()),
                Endpoint::Unix(_) => None,
            })
    }

    fn proxy_services(&self) -> impl Iterator<Item = &Service> {
        self.processes
            .proxies()
            .filter_map(|(key, _)| self.processes.get(key))
            .map(|process| &process.attribution.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;
    use tracer_model::{Comm, Listener, ProcessFacts, ProxyKind, SocketId, TaskFacts, Timestamp};

    fn facts(pid: u32, exe: &str) -> ProcessFacts {
        ProcessFacts {
            task: TaskFacts {
                key: ProcessKey {
                    pid,
                    start_ticks: u64::from(pid),
                },
                comm: Comm::new(exe),
                ..TaskFacts::default()
            },
            exe: Some(exe.into()),
            ..ProcessFacts::default()
        }
    }

    fn listener(pid: u32, port: u16) -> Listener {
        Listener {
            socket: SocketId::Kernel(u64::from(port)),
            netns: 1,
            address: Endpoint::tcp([0, 0, 0, 0].into(), port),
            holders: [facts(pid, "").task.key].into(),
        }
    }

    #[test]
    fn proxies_and_their_ports_follow_processes_and_listeners() {
        let mut world = World::new(Rules::none());
        let now = Timestamp(1);
        let mut seen = vec![world.proxies_version()];
        let mut changed = |world: &World| {
            let version = world.proxies_version();
            let new = !seen.contains(&version);
            seen.push(version);
            new
        };
        world.learn(&facts(7, "/usr/bin/node"));
        assert!(!changed(&world));
        world.learn(&facts(8, "/usr/sbin/nginx"));
        assert!(changed(&world));
        let proxies: Vec<_> = world
            .proxies()
            .iter()
            .map(|p| (p.key.pid, p.kind))
            .collect();
        assert_eq!(proxies, [(8, ProxyKind::Nginx)]);
        world.learn(&facts(8, "/usr/sbin/nginx"));
        assert!(!changed(&world));

        world.listener_up(&listener(8, 80), now);
        assert!(changed(&world));
        world.listener_up(&listener(7, 3000), now);
        assert_eq!(world.proxy_ports(), BTreeSet::from([80]));
        let known = world.proxies_version();
        let place = (1, Endpoint::tcp([0, 0, 0, 0].into(), 80));
        world.listeners.down(SocketId::Kernel(80), &place, now);
        assert_ne!(world.proxies_version(), known);
        assert!(world.proxy_ports().is_empty());

        let known = world.proxies_version();
        world.executed(
            TaskFacts {
                comm: Comm::new("cat"),
                ..facts(8, "").task
            },
            &["cat".into()],
        );
        assert_ne!(world.proxies_version(), known);
        assert!(world.proxies().is_empty());
    }
}
