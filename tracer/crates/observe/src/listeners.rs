//! Scans listeners: TCP and unix stream sockets in every network namespace that has a process.
//!
//! A short-lived thread enters the other namespaces. If that is not allowed, or a kernel module
//! (inet_diag, unix_diag) is missing, /proc/PID/net shows the namespace of a process.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use procfs::net::TcpState;
use procfs::process::Process;
use rustix::fs::{Dir, Mode, OFlags, readlinkat_raw};
use tracer_model::{Endpoint, Listener, NetNs, Pid, ProcessKey, SocketId};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::diag::{self, MAX_LISTENERS};
use super::proc_dir::{netns_of, start_ticks};

/// Processes kept that hold one socket.
const MAX_HOLDERS: usize = 64;

/// The listening sockets of one kind in one namespace: inodes and addresses, sorted.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) netns: NetNs,
    pub(super) unix: bool,
    pub(super) listening: Vec<(u64, Endpoint)>,
}

/// Network namespaces and, for each, a process through which it can be inspected.
pub(super) type Windows = BTreeMap<NetNs, Pid>;

/// Finds a process in each namespace.
pub(super) fn windows(pids: &[Pid]) -> Windows {
    let mut windows = Windows::new();
    for &pid in pids {
        if let Some(netns) = netns_of(&pid.to_string()) {
            windows.entry(netns).or_insert(pid);
        }
    }
    windows
}

/// The unix listeners of the namespaces; with `tcp` also the TCP listeners.
pub(super) fn sockets(windows: &Windows, tcp: bool) -> Vec<Sockets> {
    let own = netns_of("self");
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (&netns, &pid) in windows {
        if Some(netns) == own {
            look(netns, pid, tcp, true, &mut found);
        } else {
            others.push((netns, pid));
        }
    }
    if others.is_empty() {
        return found;
    }
    // A thread stays in the namespace that it entered last, so this thread must not enter any.
    thread::scope(|scope| {
        let visit = || {
            let mut found = Vec::new();
            for &(netns, pid) in &others {
                let entered = enter(netns, pid).is_ok();
                look(netns, pid, tcp, entered, &mut found);
            }
            found
        };
        let visitor = thread::Builder::new()
            .name("namespaces".into())
            .spawn_scoped(scope, visit);
        if let Ok(visitor) = visitor {
            found.extend(visitor.join().unwrap_or_default());
        }
    });
    found
}

/// Moves the calling thread into a namespace, if `pid` is still in it.
fn enter(netns: NetNs, pid: Pid) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    if namespace.metadata()?.ino() != u64::from(netns) {
        return Err(io::ErrorKind::NotFound.into());
    }
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Adds the listeners of a namespace: those of the thread's namespace if it `entered` that one, else, or
/// if that fails, those that /proc shows for `pid`. Adds nothing if that process is gone or has changed
/// its namespace.
fn look(netns: NetNs, pid: Pid, tcp: bool, entered: bool, found: &mut Vec<Sockets>) {
    let mut add = |unix, asked: Option<Vec<_>>, shown: fn(Pid) -> Option<Vec<_>>| {
        let is_in = || netns_of(&pid.to_string()) == Some(netns);
        let shown = || is_in().then(|| shown(pid)).flatten();
        let Some(mut listening) = asked.or_else(shown) else {
            return;
        };
        listening.sort();
        found.push(Sockets {
            netns,
            unix,
            listening,
        });
    };
    if tcp {
        let asked = entered.then(diag::tcp_listeners).and_then(Result::ok);
        add(false, asked, tcp_shown);
    }
    let asked = entered.then(diag::unix_listeners).and_then(Result::ok);
    add(true, asked, unix_shown);
}

/// Adds to each socket which of the processes `pids` hold it.
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

fn tcp_shown(pid: Pid) -> Option<Vec<(u64, Endpoint)>> {
    let process = open(pid)?;
    let v4 = process.tcp().ok()?;
    // Missing without IPv6.
    let v6 = process.tcp6().unwrap_or_default();
    let listening = v4
        .iter()
        .chain(&v6)
        .filter(|entry| entry.state == TcpState::Listen)
        .take(MAX_LISTENERS)
        .map(|entry| {
            let address = entry.local_address;
            (entry.inode, Endpoint::tcp(address.ip(), address.port()))
        });
    Some(listening.collect())
}

/// Parsed here, because `procfs` omits the flags that distinguish a listener from a bound socket.
fn unix_shown(pid: Pid) -> Option<Vec<(u64, Endpoint)>> {
    let table = fs::read(format!("/proc/{pid}/net/unix")).ok()?;
    let listening = table.split(|&b| b == b'\n').filter_map(parse_unix);
    Some(listening.take(MAX_LISTENERS).collect())
}

/// Parses a line of /proc/net/unix: `Num: RefCount Protocol Flags Type St Inode Path`. The path is
/// everything after the inode and one space, and may contain anything.
fn parse_unix(line: &[u8]) -> Option<(u64, Endpoint)> {
    /// `SO_ACCEPTCON` in the flags: the socket listens.
    const ACCEPTS: u32 = 1 << 16;
    const STREAM: u32 = 1;
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|&b| b != b' ')?;
        let len = rest[start..].iter().position(|&b| b == b' ')?;
        let field = &rest[start..start + len];
        rest = &rest[start + len..];
        std::str::from_utf8(field).ok()
    };
    let [_, _, _, flags, kind, _, inode] = [(); 7].map(|()| field());
    let hex = |text: Option<&str>| u32::from_str_radix(text?, 16).ok();
    let listens = hex(flags)? & ACCEPTS != 0 && hex(kind)? == STREAM;
    let inode = inode?.parse().ok()?;
    let path = rest.get(1..).filter(|path| !path.is_empty())?;
    listens.then(|| (inode, Endpoint::Unix(String::from_utf8_lossy(path).into())))
}

/// Finds which processes hold which sockets, by their file descriptors.
fn hold(mut wanted: HashMap<u64, Vec<ProcessKey>>, pids: &[Pid]) -> HashMap<u64, Vec<ProcessKey>> {
    if wanted.is_empty() {
        return wanted;
    }
    for &pid in pids {
        // Most processes hold none. The start time is read only for those that do.
        let mut key = None;
        each_socket(pid, |inode| {
            let Some(holders) = wanted.get_mut(&inode) else {
                return;
            };
            if key.is_none() {
                key = start_ticks(pid).map(|start_ticks| ProcessKey { pid, start_ticks });
            }
            if let Some(key) = key
                && holders.len() < MAX_HOLDERS
                && !holders.contains(&key)
            {
                holders.push(key);
            }
        });
    }
    wanted
}

/// Calls `visit` with the inode of each open socket of a process. Does nothing if the process is gone or
/// must not be inspected.
fn each_socket(pid: Pid, mut visit: impl FnMut(u64)) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty()) else {
        return;
    };
    let Ok(mut entries) = Dir::read_from(&directory) else {
        return;
    };
    // `socket:[4711]`; a longer target is something else.
    let mut link = [0; 40];
    while let Some(Ok(entry)) = entries.read() {
        let target = readlinkat_raw(&directory, entry.file_name(), &mut link)
            .ok()
            .and_then(|len| std::str::from_utf8(link.get(..len)?).ok());
        let inode = target
            .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
            .and_then(|inode| inode.parse().ok());
        if let Some(inode) = inode {
            visit(inode);
        }
    }
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
    use crate::proc_dir::netns_of;

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
            u=socket.socket(socket.AF_UNIX); u.bind('\\0other-namespace'); u.listen(1)\n\
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
        let named = find(&scans, &Endpoint::Unix("@other-namespace".into())).unwrap();
        assert_eq!((named.netns, &*named.holders), (listener.netns, &[key][..]));
        let _here = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_ne!(diag::tcp_listeners().unwrap(), [], "this thread stayed");
    }

    #[test]
    fn proc_and_sock_diag_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a @b /c.sock");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let tcp = Endpoint::tcp(address.ip(), address.port());
        let unix = Endpoint::Unix(path.to_str().unwrap().into());
        let of = |all: Vec<(u64, Endpoint)>, wanted: &Endpoint| {
            let found = all.into_iter().find(|(_, address)| address == wanted);
            found.unwrap_or_else(|| panic!("{wanted} is missing"))
        };
        let pid = std::process::id();
        assert_eq!(
            of(tcp_shown(pid).unwrap(), &tcp),
            of(diag::tcp_listeners().unwrap(), &tcp)
        );
        assert_eq!(
            of(unix_shown(pid).unwrap(), &unix),
            of(diag::unix_listeners().unwrap(), &unix)
        );
    }

    #[test]
    fn a_namespace_whose_process_is_gone_yields_nothing() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(sockets(&Windows::from([(1, child.id())]), true).len(), 0);
    }

    #[test]
    fn a_line_is_read_by_position() {
        let line = |path: &str| format!("ffff: 00000002 00000000 00010000 0001 01  4711{path}");
        let parse = |text: &str| parse_unix(text.as_bytes());
        let found = |path: &str| Some((4711, Endpoint::Unix(path.into())));
        assert_eq!(parse(&line(" /run/a b.sock")), found("/run/a b.sock"));
        assert_eq!(parse(&line(" @x /run/a.sock")), found("@x /run/a.sock"));
        assert_eq!(parse(&line(" relative.sock")), found("relative.sock"));
        assert_eq!(parse(&line("")), None, "no name");
        assert_eq!(parse(&line(" /a").replace("00010000", "00000000")), None);
        assert_eq!(parse(&line(" /a").replace(" 0001 ", " 0005 ")), None);
        assert_eq!(
            parse("Num       RefCount Protocol Flags    Type St Inode Path"),
            None
        );
    }
}
