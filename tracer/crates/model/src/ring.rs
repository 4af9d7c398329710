//! Where events can be lost.

use schemars::JsonSchema;
use serde::Serialize;

/// Where events can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// The ring of deaths, OOM kills and listener changes.
    Deaths,
    /// The ring of everything else.
    Traffic,
    /// The kernel's table of sockets in connect().
    Connecting,
    /// The kernel's table of failed requests that are only counted.
    Requests,
    /// The kernel log (/dev/kmsg was overwritten before it was read).
    KernelLog,
    /// A proxy's log (it was truncated or replaced before its end was read).
    ProxyLog,
    /// The capture that is replayed (it was full, or its disk was too slow).
    Capture,
}
