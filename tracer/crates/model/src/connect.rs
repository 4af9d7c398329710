//! Why a connect failed.

use schemars::JsonSchema;
use serde::Serialize;

/// Why a connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectError {
    /// ECONNREFUSED: nothing listens there.
    Refused,
    /// ETIMEDOUT, or the caller gave up waiting.
    Timeout,
    /// EHOSTUNREACH, ENETUNREACH and similar errors.
    Unreachable,
    /// ECONNRESET while connecting.
    Reset,
    /// ENOENT: the socket file is missing.
    NoSocketFile,
    /// EAGAIN on a unix socket: its listen backlog is full.
    BacklogFull,
    /// EACCES or EPERM.
    PermissionDenied,
    /// EADDRNOTAVAIL: no free local port.
    NoLocalPort,
    /// Any other errno.
    Other,
}
