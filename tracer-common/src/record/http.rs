//! Failed HTTP requests at proxies.

use super::{
    define::records,
    header::Header,
    process::Actor,
    socket::{Endpoints, UNIX_PATH_LEN},
};

/// First bytes of an HTTP request that are kept.
pub const HTTP_HEAD_LEN: usize = 512;

/// [`HttpRecord::end`] values.
pub mod http_end {
    /// A response with [`super::HttpRecord::status`].
    pub const STATUS: u32 = 0;
    /// No response: this end closed the connection.
    pub const CLOSED: u32 = 1;
    /// No response: this end's process exited.
    pub const DIED: u32 = 2;
    /// No response: the other end closed the connection before.
    pub const PEER_CLOSED: u32 = 3;
    /// No response: the other end reset the connection.
    pub const PEER_RESET: u32 = 4;
}

records! {
    /// A failed request at a proxy: a response with a status of 500 or more, or no response. Hooks
    /// `cgroup_skb` and `inet_sock_set_state`, or the uprobes on OpenSSL. Ring `TRAFFIC`.
    pub struct HttpRecord {
        /// Common part.
        pub header: Header,
        /// The running process; for the proxy's own requests the one that sent the first of them.
        pub actor: Actor,
        /// The connection, seen from the proxy; family 0 when unknown (TLS).
        pub endpoints: Endpoints,
        /// When the request's first bytes were seen, CLOCK_BOOTTIME ns.
        pub began_ns: u64,
        /// Where that thread last connected to.
        pub connected: ConnectTarget,
        /// HTTP status; 0 without a response.
        pub status: u32,
        /// One of [`http_end`].
        pub end: u32,
        /// 0: the request came to the proxy; 1: the proxy sent it.
        pub outbound: u32,
        /// 0: seen in plaintext; 1: in the TLS library.
        pub tls: u32,
        /// Responses to requests in `head` before this one: the index of this request among them
        /// (pipelining). Without a request of that index the status line was part of a body.
        pub answered: u32,
        /// Bytes used in `head`.
        pub head_len: u32,
        /// First bytes of the request, and of what followed it before its response.
        pub head: [u8; HTTP_HEAD_LEN],
    }

    /// Where a thread of a proxy connected to.
    pub struct ConnectTarget {
        /// When, CLOCK_BOOTTIME ns; 0 when it connected nowhere.
        pub at_ns: u64,
        /// AF_UNIX (1), AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// Remote port.
        pub port: u16,
        /// Bytes used in `address` by a unix path.
        pub path_len: u32,
        /// `sun_path`, or the remote address as in [`Endpoints::remote`].
        pub address: [u8; UNIX_PATH_LEN],
        /// 1 when the result of connect() is known.
        pub returned: u16,
        /// That result, a positive errno; 0 when connect() succeeded.
        pub error: u16,
    }

    /// Key of the map `HTTP_UNSENT`: failed requests from clients for which no record was sent.
    pub struct HttpUnsentKey {
        /// Address at which the proxy listens.
        pub local: [u8; 16],
        /// Network namespace, inode number.
        pub netns: u32,
        /// Port.
        pub local_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// HTTP status; 0 without a response.
        pub status: u32,
        /// Explicit padding.
        pub pad: u32,
    }
}

impl ConnectTarget {
    /// Nowhere.
    pub const NONE: Self = Self {
        at_ns: 0,
        family: 0,
        port: 0,
        path_len: 0,
        address: [0; UNIX_PATH_LEN],
        returned: 0,
        error: 0,
    };
}
