//! The facts about a running stack.

use tracer_model::Endpoint;

/// Facts about a running stack, for [`super::expectations`] and for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFacts {
    /// The name of the worker's service.
    pub service: &'static str,
    /// The pid of the worker that will be killed.
    pub worker_pid: u32,
    /// Where the worker listens.
    pub worker: Endpoint,
    /// Where the proxy listens.
    pub proxy: Endpoint,
    /// The proxy's program: the path of nginx, or `demo-proxy`.
    pub proxy_program: String,
    /// The worker's memory limit, bytes.
    pub limit_bytes: u64,
}
