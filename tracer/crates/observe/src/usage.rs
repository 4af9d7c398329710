//! Current usage of processes, for `tracer services`: memory and the addresses they are connected to.
//! It is read once, on demand, and never part of the observation stream.

use std::collections::BTreeSet;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};

use tracer_model::{Endpoint, Pid};

/// Resident memory of a process in bytes (/proc/PID/statm), shared pages included; `None` if it
/// is gone.
pub fn resident_bytes(pid: Pid) -> Option<u64> {
    let pages = open(pid)?.statm().ok()?.resident;
    Some(pages.saturating_mul(procfs::page_size()))
}

/// Peak resident memory of a process in bytes (VmHWM in /proc/PID/status); `None` if it is gone.
pub fn peak_bytes(pid: Pid) -> Option<u64> {
    let kib = open(pid)?.status().ok()?.vmhwm?;
    Some(kib.saturating_mul(1024))
}

/// Remote addresses of a process's established TCP connections (/proc/PID/net/tcp and tcp6, its
/// own network namespace), without those that it accepted at one of its `listeners`.
pub fn connected_to(pid: Pid, listeners: &[Endpoint]) -> BTreeSet<Endpoint> {
    let Some(process) = open(pid) else {
        return BTreeSet::new();
    };
    let inodes: BTreeSet<u64> = process
        .fd()
        .into_iter()
        .flatten()
        .filter_map(|fd| match fd.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let ports: BTreeSet<u16> = listeners
        .iter()
        .filter_map(|listener| match listener {
            Endpoint::Tcp(address) => Some(address.port()),
            Endpoint::Unix(_) => None,
        })
        .collect();
    let outgoing = |entry: &TcpNetEntry| {
        entry.state == TcpState::Established
            && inodes.contains(&entry.inode)
            && !ports.contains(&entry.local_address.port())
    };
    let v4 = process.tcp().unwrap_or_default();
    let v6 = process.tcp6().unwrap_or_default();
    v4.iter()
        .chain(&v6)
        .filter(|entry| outgoing(entry))
        .map(|entry| Endpoint::tcp(entry.remote_address.ip(), entry.remote_address.port()))
        .collect()
}

fn open(pid: Pid) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_outgoing_connections_are_upstreams() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (_server, _) = listener.accept().unwrap();

        let endpoint = Endpoint::tcp(address.ip(), address.port());
        let client_end = client.local_addr().unwrap();
        let client_end = Endpoint::tcp(client_end.ip(), client_end.port());
        let me = std::process::id();

        let seen = connected_to(me, std::slice::from_ref(&endpoint));
        assert!(seen.contains(&endpoint), "{seen:?}");
        assert!(!seen.contains(&client_end), "{seen:?}");
    }

    #[test]
    fn only_an_existing_process_has_resident_memory() {
        let resident = resident_bytes(std::process::id()).unwrap();
        assert!(resident > 100_000, "{resident}");
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
