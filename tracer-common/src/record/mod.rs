//! What crosses the rings. All integers are in host order unless a field says otherwise.
//!
//! A record starts with a [`Header`]; [`Header::kind`] says which struct it is. Layouts are explicit,
//! without implicit padding, which userspace's decoder (zerocopy) refuses.

mod define;
mod header;
mod http;
mod oom;
mod process;
mod socket;

pub use header::Header;
pub use http::{ConnectTarget, HTTP_HEAD_LEN, HttpRecord, HttpUnsentKey, http_end};
pub use oom::{OomMemory, OomScope, OomVictimRecord};
pub use process::{
    ARGS_LEN, Actor, CGROUP_PATH_LEN, COMM_LEN, CgroupRecord, ExecRecord, ExitRecord, ForkRecord,
    Signal, SignaledExitRecord, Task,
};
pub use socket::{
    ConnectFailureKey, ConnectFailures, ConnectRecord, CutRecord, Endpoints, ListenRecord,
    UNIX_PATH_LEN, UnixConnectFailureKey, UnixConnectRecord,
};

/// [`Header::kind`] values. The first group travels on the `DEATHS` ring, the rest on `TRAFFIC`.
pub mod kind {
    /// [`super::ExitRecord`].
    pub const EXIT: u32 = 1;
    /// [`super::OomVictimRecord`].
    pub const OOM_VICTIM: u32 = 2;
    /// [`super::ListenRecord`]: a socket began to listen.
    pub const LISTEN_UP: u32 = 3;
    /// [`super::ListenRecord`]: a socket stopped listening.
    pub const LISTEN_DOWN: u32 = 4;
    /// [`super::SignaledExitRecord`].
    pub const EXIT_SIGNALED: u32 = 5;

    /// [`super::ForkRecord`].
    pub const FORK: u32 = 16;
    /// [`super::ExecRecord`].
    pub const EXEC: u32 = 17;
    /// [`super::CgroupRecord`].
    pub const CGROUP: u32 = 18;
    /// [`super::ConnectRecord`].
    pub const CONNECT_FAILED: u32 = 19;
    /// [`super::UnixConnectRecord`].
    pub const UNIX_CONNECT_FAILED: u32 = 20;
    /// [`super::CutRecord`].
    pub const CUT: u32 = 21;
    /// [`super::HttpRecord`].
    pub const HTTP: u32 = 22;
}

/// Indices into the per-CPU arrays `LOST` (events that could not be sent) and `MADE_GOOD` (events
/// that a second program handled in place of the first).
pub mod lost {
    /// The `DEATHS` ring was full.
    pub const DEATHS: u32 = 0;
    /// The `TRAFFIC` ring was full.
    pub const TRAFFIC: u32 = 1;
    /// The table of connects under way was full: the caller of a failed connect is unknown.
    pub const CONNECTING: u32 = 2;
    /// The map that counts failed requests was full.
    pub const REQUESTS: u32 = 3;
    /// Number of counters.
    pub const COUNT: u32 = 4;
}
