//! What the worker and the built-in proxy share: parsing their arguments, exiting with their parent,
//! and serving each connection on a thread.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::error::ChildError;

/// How many connections are served at a time; others are closed.
const MAX_CONNECTIONS: usize = 64;

/// How long a peer may keep a thread waiting.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// The value of `--name PORT` in `args`.
pub(super) fn port(args: &[OsString], name: &str) -> Option<u16> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1)?.to_str()?.parse().ok()
}

/// 127.0.0.1 with `port`.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Exits when standard input is closed. The demo holds its other end, so no child outlives a demo
/// that was killed.
pub(super) fn exit_with_parent() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock().take(u64::MAX), &mut io::sink());
        std::process::exit(0);
    });
}

/// Serves connections for as long as the process runs.
pub(super) fn serve(
    address: SocketAddr,
    handle: impl Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Result<(), ChildError> {
    let listener =
        TcpListener::bind(address).map_err(|source| ChildError::Listen { address, source })?;
    let handle = Arc::new(handle);
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // For example, no descriptor is free. Do not spin.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (handle, open) = (Arc::clone(&handle), Arc::clone(&open));
        thread::spawn(move || {
            // A client may disconnect at any time; that is not an error.
            let _ = stream
                .set_read_timeout(Some(PEER_TIMEOUT))
                .and_then(|()| stream.set_write_timeout(Some(PEER_TIMEOUT)))
                .and_then(|()| handle(&stream));
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
