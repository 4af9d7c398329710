//! What an outage costs: failed connects, cut connections and failed requests, as findings report
//! them, and what explains each.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::address::Endpoint;
use crate::connect::ConnectError;
use crate::death::{Cause, Party};
use crate::identity::Pid;
use crate::request::{Confidence, Failure, Witness};
use crate::service::Service;
use crate::time::WallTime;

/// An upstream.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Upstream {
    /// Its address.
    pub address: Endpoint,
    /// The service that listens there, or did last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
}

/// The death or outage that explains an effect.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Because {
    /// The incident.
    pub incident: u64,
    /// Pid of the process that died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Pid>,
    /// Its cause of death.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// From the death (or the loss of the listener) to the effect, ms.
    pub after_ms: f64,
    /// The explanation in one sentence.
    pub sentence: String,
}

/// See [`crate::Body::ConnectFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConnectFailure {
    /// The service that called connect(): usually a proxy.
    pub proxy: Service,
    /// Its process.
    pub process: Party,
    /// Where it tried to connect.
    pub upstream: Upstream,
    /// What went wrong.
    pub error: ConnectError,
    /// Name of the errno, if `error` is `other`: `EPROTOTYPE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// Failed connects since the last such finding of this proxy, upstream and error.
    pub count: u64,
    /// From connect() to the failure, ms; of the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<f64>,
    /// The death or outage that explains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

/// See [`crate::Body::ConnectionCut`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cut {
    /// The service whose process died.
    pub service: Service,
    /// The service at the other end, if it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Service>,
    /// The address that served the connections.
    pub address: Endpoint,
    /// The other end; one of them if `count` is larger than 1.
    pub peer_address: Endpoint,
    /// Number of connections with this peer.
    pub count: u64,
    /// Pid of the process that died.
    pub pid: Pid,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}

/// See [`crate::Body::RequestFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FailedRequest {
    /// The proxy that received the request.
    pub proxy: Service,
    /// The client's address, without port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The first address in X-Forwarded-For.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<String>,
    /// `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The Host header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path: without query unless `--show-query`, values that look like tokens masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that the client got; left out if it got none or the status is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the first bytes of the request to its end, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many requests this stands for: more than 1 only in a storm, and then without client,
    /// method and path.
    pub count: u64,
    /// The upstream that failed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// How sure that upstream is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// How it failed.
    pub failure: Failure,
    /// The death or outage that explains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// The witnesses that reported it, sorted.
    pub evidence: Vec<Witness>,
}

/// A failed request in an incident's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostRequest {
    /// When it failed.
    pub at: WallTime,
    /// As [`FailedRequest::client`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// As [`FailedRequest::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// As [`FailedRequest::path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// As [`FailedRequest::status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// As [`FailedRequest::failure`].
    pub failure: Failure,
}

/// Failed requests with the same method, template and status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostRequests {
    /// As [`FailedRequest::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path with ids replaced: `/api/orders/{n}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// As [`FailedRequest::status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many.
    pub count: u64,
}

/// The failed requests of one service, in the ranking at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceLoss {
    /// The service that the requests were meant for; the proxy itself if no upstream is known.
    pub service: Service,
    /// Requests that failed.
    pub requests_failed: u64,
    /// How many of them a death explains.
    pub because_of_deaths: u64,
}
