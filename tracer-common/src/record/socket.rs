//! Sockets: listeners, failed connects, connections cut by their owner's death.

use super::{define::records, header::Header, process::Actor};

/// Size of `sun_path`.
pub const UNIX_PATH_LEN: usize = 108;

records! {
    /// A TCP socket's addresses.
    pub struct Endpoints {
        /// Local address; IPv4 in the first four bytes. Network order.
        pub local: [u8; 16],
        /// Remote address; IPv4 in the first four bytes. Network order.
        pub remote: [u8; 16],
        /// Local port; 0 when not bound yet.
        pub local_port: u16,
        /// Remote port.
        pub remote_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// Explicit padding.
        pub pad: u16,
        /// Inode number of the network namespace.
        pub netns: u32,
        /// Explicit padding.
        pub pad2: u32,
    }

    /// Hook `inet_sock_set_state`, to and from LISTEN. Ring `DEATHS`, wakes the reader at once.
    pub struct ListenRecord {
        /// Common part.
        pub header: Header,
        /// Kernel address of the socket: its identity while it exists, never shown.
        pub socket: u64,
        /// The socket.
        pub endpoints: Endpoints,
        /// The running process: in listen(), or the last to close the socket.
        pub actor: Actor,
        /// 1 when `actor` was exiting.
        pub exiting: u32,
        /// Explicit padding.
        pub pad: u32,
    }

    /// A failed TCP connect. Hook `inet_sock_set_state` SYN_SENT→CLOSE, or for a connect that failed
    /// before SYN_SENT fexit, kretprobe or `sys_exit_connect`. Ring `TRAFFIC`, wakes the reader at
    /// most every 4 ms.
    ///
    /// The kernel programs count the failures of one process to one address with one error. They send
    /// a record with the count so far for the first failure and then at most every 10 ms, so that a
    /// storm is counted exactly without a record for each failure.
    pub struct ConnectRecord {
        /// Common part.
        pub header: Header,
        /// Who called connect().
        pub actor: Actor,
        /// The socket.
        pub endpoints: Endpoints,
        /// The socket's error, a positive errno; 0 when the owner closed the socket before the result.
        pub error: u32,
        /// Explicit padding.
        pub pad: u32,
        /// From connect() to failure, ns.
        pub elapsed_ns: u64,
        /// Failures so far of this process, address and error, this one included; 0 when the map
        /// `CONNECT_FAILURES` was full: the record then stands for this failure only.
        pub total: u64,
    }

    /// A failed connect of a unix stream socket (fexit, kretprobe or `sys_exit_connect`). Ring
    /// `TRAFFIC`. Counted like [`ConnectRecord`], per process, path and error.
    pub struct UnixConnectRecord {
        /// Common part.
        pub header: Header,
        /// Who called connect().
        pub actor: Actor,
        /// A positive errno.
        pub error: u32,
        /// Bytes used in `path`.
        pub path_len: u32,
        /// Network namespace of the caller, inode number; 0 when unknown.
        pub netns: u32,
        /// Explicit padding.
        pub pad: u32,
        /// Failures so far of this process, path and error, this one included; 0 as in
        /// [`ConnectRecord::total`].
        pub total: u64,
        /// `sun_path`; abstract names start with a NUL byte.
        pub path: [u8; UNIX_PATH_LEN],
        /// Explicit padding.
        pub pad2: u32,
    }

    /// An established connection closed because its owner is exiting. Hook `inet_sock_set_state`.
    /// Ring `TRAFFIC`.
    pub struct CutRecord {
        /// Common part.
        pub header: Header,
        /// The exiting process.
        pub actor: Actor,
        /// The socket, seen from the exiting process.
        pub endpoints: Endpoints,
    }

    /// Key of the map `CONNECT_FAILURES`: failed connects are counted for each.
    pub struct ConnectFailureKey {
        /// Remote address.
        pub remote: [u8; 16],
        /// Who called connect().
        pub pid: u32,
        /// Network namespace, inode number.
        pub netns: u32,
        /// Remote port.
        pub remote_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// As [`ConnectRecord::error`].
        pub error: u32,
    }

    /// Key of the map `UNIX_CONNECT_FAILURES`.
    pub struct UnixConnectFailureKey {
        /// `sun_path`, zeroes after `path_len` bytes.
        pub path: [u8; UNIX_PATH_LEN],
        /// Bytes used in `path`.
        pub path_len: u32,
        /// Who called connect().
        pub pid: u32,
        /// As [`UnixConnectRecord::error`].
        pub error: u32,
        /// As [`UnixConnectRecord::netns`].
        pub netns: u32,
    }

    /// Value of the maps `CONNECT_FAILURES` and `UNIX_CONNECT_FAILURES`: the count, and what userspace
    /// needs for the failures after a storm's last record.
    pub struct ConnectFailures {
        /// Failures so far.
        pub total: u64,
        /// When the last record was sent, CLOCK_BOOTTIME ns; 0 when it found no room.
        pub sent_ns: u64,
        /// The newest failure, CLOCK_BOOTTIME ns.
        pub last_ns: u64,
        /// Who called connect(), at the first failure.
        pub actor: Actor,
    }
}

impl Endpoints {
    /// Not known.
    pub const UNKNOWN: Self = Self {
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        family: 0,
        pad: 0,
        netns: 0,
        pad2: 0,
    };
}
