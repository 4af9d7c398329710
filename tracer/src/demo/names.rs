//! The names of the demo's services and of the subcommands that run its processes.

use tracer_model::Endpoint;

use super::facts::StackFacts;

/// The name that [`rules_toml`] gives the worker's service.
pub const WORKER_SERVICE: &str = "demo-api";

/// The name that [`rules_toml`] gives the built-in proxy's service.
pub const PROXY_SERVICE: &str = "demo-proxy";

/// The hidden subcommand that runs [`super::worker::run`].
pub const WORKER_COMMAND: &str = "demo-worker";

/// The hidden subcommand that runs [`super::proxy::run`].
pub const PROXY_COMMAND: &str = "demo-proxy";

/// `[[service]]` rules that name the processes of this stack, and no others.
pub fn rules_toml(facts: &StackFacts) -> String {
    let rule = |name: &str, command: &str, address: &Endpoint| {
        let port = match address {
            Endpoint::Tcp(address) => address.port(),
            Endpoint::Unix(_) => 0,
        };
        format!("[[service]]\nname = \"{name}\"\ncmdline = '{command} --port {port}\\b'\n")
    };
    let worker = rule(WORKER_SERVICE, WORKER_COMMAND, &facts.worker);
    let proxy = rule(PROXY_SERVICE, PROXY_COMMAND, &facts.proxy);
    format!("{worker}\n{proxy}")
}
