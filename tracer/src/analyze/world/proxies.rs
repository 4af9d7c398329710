//! The proxies that run: whose requests and logs are to be followed.

use std::collections::BTreeSet;

use super::World;
use crate::model::{Endpoint, ProcessKey, ProxyProcess, What};

impl World {
    /// The processes of proxies that live, by key.
    pub fn proxies(&self) -> impl Iterator<Item = ProxyProcess> {
        self.processes.live().filter_map(|process| {
            let kind = process.attribution.role?;
            Some(ProxyProcess {
                key: process.task.key,
                kind,
            })
        })
    }

    /// The TCP ports that proxies listen on.
    pub fn proxy_ports(&self) -> BTreeSet<u16> {
        self.listeners
            .iter()
            .filter(|(_, listening)| {
                listening.down.is_none() && listening.holders.iter().any(|key| self.is_proxy(*key))
            })
            .filter_map(|((_, address), _)| match address {
                Endpoint::Tcp(address) => Some(address.port()),
                Endpoint::Unix(_) => None,
            })
            .collect()
    }

    /// Whether `what`, taken in already, may have changed the proxies there are or their ports.
    pub fn touches_proxies(&self, what: &What) -> bool {
        match what {
            What::Process(facts) => self.is_proxy(facts.task.key),
            What::Forked { child: task, .. } | What::Executed { task, .. } => {
                self.is_proxy(task.key)
            }
            What::Exited(exit) => self.is_proxy(exit.task.key),
            What::ListenerUp(listener) => listener.holders.iter().any(|key| self.is_proxy(*key)),
            What::ListenerDown { by, .. } => self.is_proxy(by.key),
            What::ListenersScanned { unix, .. } => !unix,
            What::Container(_) => true,
            _ => false,
        }
    }

    fn is_proxy(&self, key: ProcessKey) -> bool {
        self.processes
            .find(key)
            .is_some_and(|process| process.attribution.role.is_some())
    }
}
