//! The one way back: what analysis has found decides what is followed.
//!
//! Analysis keeps the list of proxies. When it changes, steering follows their cgroups and TLS
//! libraries (kernel) and their error logs (observer). What it achieved goes forward again as
//! observations, so that captures and replays have it. Nothing else acts on the conclusions of
//! analysis.

use std::collections::{BTreeMap, BTreeSet};

use tracer_analysis::World;
use tracer_kernel::settings::HttpMode;
use tracer_kernel::{Followed, Kernel};
use tracer_model::{Hook, Pid, ProcessKey, What, Witnesses};
use tracer_observe::Observer;

/// What is followed, and what was reported of it.
#[derive(Debug, Default)]
pub(super) struct Steering {
    http: HttpMode,
    /// Version of the world's list of proxies when it was acted on last; None when that has to be
    /// repeated.
    proxies: Option<u64>,
    /// Which witnesses each process of a proxy has, as reported last.
    witnesses: BTreeMap<ProcessKey, Witnesses>,
    /// The hooks on requests in plaintext and in TLS, as reported last.
    hooks: [Option<Hook>; 2],
}

impl Steering {
    /// For requests as `http` says.
    pub(super) fn new(http: HttpMode) -> Self {
        Self {
            http,
            ..Self::default()
        }
    }

    /// Acts on the proxies that `world` knows, if anything changed; returns what is new about the
    /// hooks and witnesses.
    pub(super) fn steer(
        &mut self,
        world: &World,
        kernel: &mut Kernel,
        observer: &mut Observer,
    ) -> Vec<What> {
        if observer.clear_logged_changed() | kernel.clear_tls_changed() {
            self.proxies = None;
        }
        let version = Some(world.proxies_version());
        if self.proxies == version {
            return Vec::new();
        }
        self.proxies = version;
        let proxies = world.proxies();
        observer.follow_logs(&proxies);
        let pids: BTreeSet<Pid> = proxies.iter().map(|proxy| proxy.key.pid).collect();
        let cgroups = match self.http {
            HttpMode::All => observer.cgroups_of(None),
            HttpMode::Proxies | HttpMode::Off => observer.cgroups_of(Some(&pids)),
        };
        kernel.follow(Followed {
            pids,
            ports: world.proxy_ports(),
            cgroups,
        });
        // Reported below.
        kernel.clear_tls_changed();
        let mut news = Vec::new();
        let hooks = [kernel.http_hook(), kernel.tls_hook()];
        for (hook, before) in hooks.iter().zip(&self.hooks) {
            if let Some(hook) = hook
                && Some(hook) != before.as_ref()
            {
                news.push(What::Hook(Box::new(hook.clone())));
            }
        }
        self.hooks = hooks;
        let mut before = std::mem::take(&mut self.witnesses);
        for proxy in proxies {
            let witnesses = Witnesses {
                proxy: proxy.key,
                http: kernel.follows(proxy.key.pid),
                tls: kernel.follows_tls(proxy.key.pid),
                log: observer.logged(proxy.key),
            };
            if before.remove(&proxy.key) != Some(witnesses) {
                news.push(What::Witnesses(witnesses));
            }
            self.witnesses.insert(proxy.key, witnesses);
        }
        news
    }
}
