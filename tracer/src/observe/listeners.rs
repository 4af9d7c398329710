//! Who listens where: TCP and unix stream sockets of every network namespace that has a process.
//!
//! Read through /proc/PID/net, which shows the namespace of that process, so that no namespace
//! needs to be entered and no kernel module (inet_diag, unix_diag) needs to be there.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

use super::process::{netns_of, start_ticks};
use crate::model::{Endpoint, Listener, NetNs, Pid, ProcessKey, SocketId};

/// Listeners kept of one kind in one namespace.
const MAX_LISTENERS: usize = 20_000;
/// Processes that hold one socket, at most kept.
const MAX_HOLDERS: usize = 64;

/// The listening sockets of one kind in one namespace: inodes and addresses, sorted.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) netns: NetNs,
    pub(super) unix: bool,
    pub(super) listening: Vec<(u64, Endpoint)>,
}

/// Namespaces and, for each, a process through which it can be seen.
pub(super) type Windows = BTreeMap<NetNs, Pid>;

/// Looks for a process in each namespace.
pub(super) fn windows(pids: &[Pid]) -> Windows {
    let mut windows = Windows::new();
    for &pid in pids {
        if let Some(netns) = netns_of(&pid.to_string()) {
            windows.entry(netns).or_insert(pid);
        }
    }
    windows
}

/// The unix listeners of the namespaces, and the TCP ones when `tcp`.
pub(super) fn sockets(windows: &Windows, tcp: bool) -> Vec<Sockets> {
    let mut found = Vec::new();
    for (&netns, &pid) in windows {
        if tcp && let Some(process) = open(pid) {
            found.push(Sockets {
                netns,
                unix: false,
                listening: tcp_listeners(&process),
            });
        }
        found.push(Sockets {
            netns,
            unix: true,
            listening: unix_listeners(pid),
        });
    }
    found
}

/// Finds out which of the processes `pids` hold the sockets.
pub(super) fn with_holders(
    found: Vec<Sockets>,
    pids: &[Pid],
) -> impl Iterator<Item = (NetNs, bool, Box<[Listener]>)> {
    let wanted: HashMap<u64, Vec<ProcessKey>> = found
        .iter()
        .flat_map(|found| &found.listening)
        .map(|(inode, _)| (*inode, Vec::new()))
        .collect();
    let held = hold(wanted, pids);
    found.into_iter().map(move |found| {
        let listeners = found
            .listening
            .into_iter()
            .map(|(inode, address)| Listener {
                socket: SocketId::Scanned(inode),
                netns: found.netns,
                address,
                holders: held.get(&inode).cloned().unwrap_or_default().into(),
            })
            .collect();
        (found.netns, found.unix, listeners)
    })
}

fn tcp_listeners(process: &Process) -> Vec<(u64, Endpoint)> {
    let v4 = process.tcp().unwrap_or_default();
    let v6 = process.tcp6().unwrap_or_default();
    let mut sockets: Vec<_> = v4
        .iter()
        .chain(&v6)
        .filter(|entry| entry.state == TcpState::Listen)
        .take(MAX_LISTENERS)
        .map(|entry| {
            let address = entry.local_address;
            (entry.inode, Endpoint::tcp(address.ip(), address.port()))
        })
        .collect();
    sockets.sort();
    sockets
}

/// By hand, because `procfs` leaves out the flags that tell a listener from a bound socket.
fn unix_listeners(pid: Pid) -> Vec<(u64, Endpoint)> {
    let table = fs::read(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    let mut sockets: Vec<_> = table
        .split(|&b| b == b'\n')
        .filter_map(parse_unix)
        .take(MAX_LISTENERS)
        .collect();
    sockets.sort();
    sockets
}

/// A line of /proc/net/unix: `Num: RefCount Protocol Flags Type St Inode Path`.
fn parse_unix(line: &[u8]) -> Option<(u64, Endpoint)> {
    /// `SO_ACCEPTCON` in the flags: it listens.
    const ACCEPTS: u32 = 1 << 16;
    const STREAM: u32 = 1;
    let line = String::from_utf8_lossy(line);
    let (before, path) = line.split_at(line.find(" /").or_else(|| line.find(" @"))?);
    let mut fields = before.split_ascii_whitespace().skip(3);
    let mut hex = || u32::from_str_radix(fields.next()?, 16).ok();
    let (flags, kind, _state) = (hex()?, hex()?, hex()?);
    let inode = fields.next()?.parse().ok()?;
    let listens = flags & ACCEPTS != 0 && kind == STREAM;
    listens.then(|| (inode, Endpoint::Unix(path[1..].into())))
}

/// Which of the processes hold which of the sockets, by their descriptors.
fn hold(mut wanted: HashMap<u64, Vec<ProcessKey>>, pids: &[Pid]) -> HashMap<u64, Vec<ProcessKey>> {
    if wanted.is_empty() {
        return wanted;
    }
    for &pid in pids {
        let Some(start_ticks) = start_ticks(pid) else {
            continue;
        };
        let key = ProcessKey { pid, start_ticks };
        let descriptors = open(pid).and_then(|process| process.fd().ok());
        for descriptor in descriptors.into_iter().flatten().flatten() {
            if let FDTarget::Socket(inode) = descriptor.target
                && let Some(holders) = wanted.get_mut(&inode)
                && holders.len() < MAX_HOLDERS
                && !holders.contains(&key)
            {
                holders.push(key);
            }
        }
    }
    wanted
}

fn open(pid: Pid) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::observe::process::netns_of;

    fn me() -> ProcessKey {
        let pid = std::process::id();
        ProcessKey {
            pid,
            start_ticks: start_ticks(pid).unwrap(),
        }
    }

    fn scan(pids: &[Pid]) -> Vec<Listener> {
        let sockets = sockets(&windows(pids), true);
        with_holders(sockets, pids)
            .flat_map(|(_, _, listeners)| listeners)
            .collect()
    }

    fn find<'a>(all: &'a [Listener], address: &Endpoint) -> Option<&'a Listener> {
        all.iter().find(|listener| listener.address == *address)
    }

    #[test]
    fn listeners_are_found_with_their_holders() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b.sock");
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0").unwrap();
        let _unix = UnixListener::bind(&path).unwrap();
        let name = format!("tracer-{}", std::process::id());
        let name_address = SocketAddr::from_abstract_name(&name).unwrap();
        let _named = UnixListener::bind_addr(&name_address).unwrap();

        let scans = scan(&[me().pid]);
        let tcp = |listener: &TcpListener| {
            let address = listener.local_addr().unwrap();
            Endpoint::tcp(address.ip(), address.port())
        };
        for address in [
            tcp(&v4),
            tcp(&v6),
            Endpoint::Unix(path.to_str().unwrap().into()),
            Endpoint::Unix(format!("@{name}").into()),
        ] {
            let listener = find(&scans, &address).unwrap_or_else(|| panic!("{address}: {scans:?}"));
            assert_eq!(&*listener.holders, [me()]);
        }
    }

    #[test]
    fn other_namespaces_are_seen_through_their_processes() {
        let script = "import socket,time\n\
            s=socket.socket(); s.bind(('0.0.0.0',4567)); s.listen(1)\n\
            print('up',flush=True); time.sleep(30)";
        let mut child = Command::new("unshare")
            .args(["--net", "python3", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let key = ProcessKey {
            pid: child.id(),
            start_ticks: start_ticks(child.id()).unwrap(),
        };
        let scans = scan(&[me().pid, key.pid]);
        child.kill().unwrap();
        child.wait().unwrap();

        let address = Endpoint::Tcp("0.0.0.0:4567".parse().unwrap());
        let listener = find(&scans, &address).unwrap();
        assert_eq!(&*listener.holders, [key]);
        assert_ne!(Some(listener.netns), netns_of("self"));
    }
}
