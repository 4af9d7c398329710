//! What the error numbers of connect() mean.

use tracer_model::ConnectError;

/// The error of a TCP connect. 0: the process gave up before there was a result.
pub(super) fn connect_error(errno: u32) -> ConnectError {
    match i32::try_from(errno).unwrap_or(i32::MAX) {
        0 | libc::ETIMEDOUT => ConnectError::Timeout,
        libc::ECONNREFUSED => ConnectError::Refused,
        libc::ECONNRESET | libc::EPIPE => ConnectError::Reset,
        libc::EHOSTUNREACH
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN
        | libc::ENONET
        | libc::ENOPROTOOPT
        | libc::EPROTO => ConnectError::Unreachable,
        libc::EACCES | libc::EPERM => ConnectError::PermissionDenied,
        libc::EADDRNOTAVAIL | libc::EAGAIN => ConnectError::NoLocalPort,
        _ => ConnectError::Other,
    }
}

/// The error of a connect to a unix stream socket.
pub(super) fn unix_connect_error(errno: u32) -> ConnectError {
    match i32::try_from(errno).unwrap_or(i32::MAX) {
        libc::ECONNREFUSED => ConnectError::Refused,
        libc::ENOENT | libc::ENOTDIR => ConnectError::NoSocketFile,
        libc::EAGAIN => ConnectError::BacklogFull,
        libc::EACCES | libc::EPERM => ConnectError::PermissionDenied,
        libc::ECONNRESET => ConnectError::Reset,
        _ => ConnectError::Other,
    }
}
