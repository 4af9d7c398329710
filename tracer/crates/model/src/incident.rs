//! Incidents in findings.

use schemars::JsonSchema;
use serde::Serialize;

use crate::death::Cause;
use crate::effect::{LostRequest, LostRequests};
use crate::service::Service;
use crate::time::WallTime;

/// Whether an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// The service is impaired.
    Open,
    /// The service recovered.
    Closed,
}

/// A service's outage: from the first death or loss of a listener until it recovers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Incident {
    /// Counts from 1 in a stream.
    pub id: u64,
    /// Open or closed.
    pub state: IncidentState,
    /// The service.
    pub service: Service,
    /// Cause of the first death.
    pub cause: Cause,
    /// That cause in words: `OOM (cgroup limit 2.0 GiB)`.
    pub summary: String,
    /// When the outage began.
    pub opened: WallTime,
    /// When the service recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<WallTime>,
    /// How long nothing listened (or, for services that don't listen, no process ran), ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// Processes that died.
    pub deaths: u64,
    /// Connects that failed because of it.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Requests that failed because of it.
    pub requests_failed: u64,
    /// The first of them, at most 100; only once it is closed or the tracer stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<LostRequest>,
    /// All of them by method, path template and status, most first, at most 50; only with
    /// `requests`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests_by_template: Vec<LostRequests>,
    /// Whether the service died again and again while it tried to recover.
    pub crash_loop: bool,
    /// What to do about it, most useful first.
    pub advice: Vec<String>,
}
