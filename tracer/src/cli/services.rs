//! `tracer services`: the running services with their listeners, memory and limit, and the upstreams
//! of proxies.

use std::io;

use tracer_analysis::rules::Rules;
use tracer_analysis::world::ServiceView;
use tracer_analysis::{Analysis, Options};
use tracer_model::{Observation, Upstream, What};
use tracer_observe::{self, Observer, clock, usage};
use tracer_present::services::{self, ServiceRow};

use super::config::ConfigArgs;
use super::outcome::Outcome;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (analysis, _) = scan(args.config.load()?);
    let rows: Vec<ServiceRow> = analysis
        .world()
        .services(std::process::id())
        .into_iter()
        .map(|view| row(&analysis, view))
        .collect();
    let mut out = io::stdout().lock();
    if args.json {
        services::json(&mut out, &rows)?;
    } else {
        services::text(&mut out, &rows)?;
    }
    Ok(Outcome::Success)
}

/// Scans the machine without hooks. Returns what is known now, and the observer that scanned it.
pub(super) fn scan(rules: Rules) -> (Analysis, Observer) {
    let mut observer = Observer::new(tracer_kernel::hierarchy(), false);
    let options = Options {
        all: false,
        own_netns: tracer_observe::own_netns(),
        own_pid: std::process::id(),
    };
    let mut analysis = Analysis::new(rules, options);
    let mut observations = Vec::new();
    observer.scan(&mut observations);
    observations.push(Observation {
        at: clock::now(),
        what: What::Armed,
    });
    // Only the state is needed; the findings are discarded.
    let mut findings = Vec::new();
    for observation in &observations {
        analysis.observe(observation, &mut findings);
    }
    (analysis, observer)
}

fn row(analysis: &Analysis, view: ServiceView) -> ServiceRow {
    let memory = view
        .pids
        .iter()
        .filter_map(|&pid| usage::resident_bytes(pid));
    let upstreams = match view.role {
        Some(_) => upstreams(analysis, &view),
        None => Vec::new(),
    };
    ServiceRow {
        name: view.service.name,
        manager: view.service.manager,
        evidence: view.service.evidence,
        processes: view.pids.len(),
        memory_bytes: memory.reduce(u64::saturating_add),
        limit_bytes: view.limit_bytes,
        pids: view.pids,
        listens: view.listens,
        role: view.role,
        upstreams,
    }
}

/// The addresses that a proxy's processes are connected to now.
fn upstreams(analysis: &Analysis, view: &ServiceView) -> Vec<Upstream> {
    let mut addresses: Vec<_> = view
        .pids
        .iter()
        .flat_map(|&pid| usage::connected_to(pid, &view.listens))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
        .into_iter()
        .map(|address| Upstream {
            service: analysis
                .world()
                .service_at(tracer_observe::own_netns(), &address),
            address,
        })
        .collect()
}
