//! Containers, from the API of their engine over its unix socket. The API is Docker's, which Podman
//! supports too.
//!
//! A thread of its own asks the engines, so that an engine that hangs never delays an event.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracer_model::{ContainerFacts, Timestamp};

use super::clock;

/// Time limit for one request to one engine, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between looks for an answer while one is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest answer read.
const MAX_ANSWER: usize = 8 << 20;
/// Containers of one engine that are inspected at start-up.
const MAX_CONTAINERS: usize = 1024;
/// Questions that wait. Further ones are dropped.
const MAX_WAITING: usize = 256;
/// Ids that are remembered, so that each container is asked for only once.
const MAX_ASKED: usize = 4096;

#[derive(Debug)]
enum Question {
    /// All running containers.
    All,
    /// The container with this id.
    One(String),
}

/// The connection to the thread that asks the engines.
#[derive(Debug, Default)]
pub(super) struct Engines {
    /// Channels to the thread and back; `None` before the first question.
    line: Option<(SyncSender<Question>, Receiver<Vec<ContainerFacts>>)>,
    asked: HashSet<String>,
    waiting: usize,
    /// When to look for answers next.
    due: Option<Timestamp>,
}

impl Engines {
    /// Whether an engine can be asked.
    pub(super) fn reachable() -> bool {
        !sockets().is_empty()
    }

    /// When to call [`Self::collect`].
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// All running containers. Waits at most as long as one request may take.
    pub(super) fn all(&mut self) -> Vec<ContainerFacts> {
        if !Self::reachable() {
            return Vec::new();
        }
        self.send(Question::All);
        let answer = match &self.line {
            Some((_, answers)) if self.waiting > 0 => answers.recv_timeout(TIMEOUT).ok(),
            _ => None,
        };
        if answer.is_some() {
            self.answered(1, clock::now());
        }
        answer.unwrap_or_default()
    }

    /// Asks for the container of a cgroup path, if it is one's and was not asked for before.
    pub(super) fn look_up(&mut self, cgroup_path: &str) {
        let Some(id) = container_id(cgroup_path) else {
            return;
        };
        if self.asked.len() < MAX_ASKED && self.asked.insert(id.to_owned()) {
            self.send(Question::One(id.to_owned()));
        }
    }

    /// The answers that have arrived.
    pub(super) fn collect(&mut self, now: Timestamp) -> Vec<ContainerFacts> {
        let Some((_, answers)) = &self.line else {
            return Vec::new();
        };
        let came: Vec<_> = answers.try_iter().collect();
        self.answered(came.len(), now);
        came.into_iter().flatten().collect()
    }

    fn answered(&mut self, count: usize, now: Timestamp) {
        self.waiting = self.waiting.saturating_sub(count);
        self.due = (self.waiting > 0).then(|| now.after(LOOK_EVERY));
    }

    fn send(&mut self, question: Question) {
        if self.line.is_none() {
            self.line = start();
        }
        if let Some((ask, _)) = &self.line
            && ask.try_send(question).is_ok()
        {
            self.waiting += 1;
            self.due
                .get_or_insert_with(|| clock::now().after(LOOK_EVERY));
        }
    }
}

/// Starts the thread; it ends when the sender of questions is dropped.
fn start() -> Option<(SyncSender<Question>, Receiver<Vec<ContainerFacts>>)> {
    let (ask, questions) = mpsc::sync_channel(MAX_WAITING);
    let (answer, answers) = mpsc::sync_channel(MAX_WAITING);
    thread::Builder::new()
        .name("containers".into())
        .spawn(move || answer_questions(&questions, &answer))
        .ok()?;
    Some((ask, answers))
}

/// The id in a cgroup path: its last 64 hexadecimal digits.
pub(super) fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.get(part.len().checked_sub(64)?..)?;
        let hex = id.bytes().all(|b| b.is_ascii_hexdigit());
        // conmon watches the container from outside it.
        (hex && !part.contains("conmon")).then_some(id)
    })
}

fn sockets() -> Vec<(&'static str, PathBuf)> {
    let mut sockets: Vec<(&'static str, PathBuf)> = Vec::new();
    if let Some(host) = std::env::var_os("DOCKER_HOST")
        && let Some(path) = host.to_str().and_then(|host| host.strip_prefix("unix://"))
    {
        let podman = path.contains("podman");
        sockets.push((if podman { "podman" } else { "docker" }, path.into()));
    }
    sockets.push(("docker", "/var/run/docker.sock".into()));
    sockets.push(("podman", "/run/podman/podman.sock".into()));
    let users = std::fs::read_dir("/run/user")
        .into_iter()
        .flatten()
        .flatten();
    for user in users {
        sockets.push(("docker", user.path().join("docker.sock")));
        sockets.push(("podman", user.path().join("podman/podman.sock")));
    }
    sockets.retain(|(_, path)| path.exists());
    sockets.dedup_by(|a, b| a.1 == b.1);
    sockets
}

fn answer_questions(questions: &Receiver<Question>, answer: &SyncSender<Vec<ContainerFacts>>) {
    for question in questions {
        // The sockets are looked for each time, because an engine may be started later.
        if answer.send(ask_all(&sockets(), &question)).is_err() {
            return;
        }
    }
}

/// Asks all engines. One that does not answer or does not know a container adds nothing. The first answer
/// about a container counts. Users' own engines come last, so they can't rename containers of the system.
fn ask_all(sockets: &[(&'static str, PathBuf)], question: &Question) -> Vec<ContainerFacts> {
    let mut facts: Vec<ContainerFacts> = Vec::new();
    for (engine, socket) in sockets {
        let found = match question {
            Question::All => running(engine, socket),
            Question::One(id) => inspect(engine, socket, id).map(|one| vec![one]),
        };
        for container in found.unwrap_or_default() {
            if facts.iter().all(|known| known.id != container.id) {
                facts.push(container);
            }
        }
    }
    facts
}

/// Inspects every running container, because the list of some engines lacks addresses.
fn running(engine: &str, socket: &Path) -> io::Result<Vec<ContainerFacts>> {
    let list = get(socket, "/containers/json")?;
    let ids = list.as_array().into_iter().flatten();
    Ok(ids
        .take(MAX_CONTAINERS)
        .filter_map(|one| one.get("Id")?.as_str())
        .filter_map(|id| inspect(engine, socket, id).ok())
        .collect())
}

fn inspect(engine: &str, socket: &Path, id: &str) -> io::Result<ContainerFacts> {
    if !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let answer = get(socket, &format!("/containers/{id}/json"))?;
    parse(engine, &answer)
        .filter(|facts| &*facts.id == id)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends a GET request, with HTTP/1.0 so that the answer is never chunked and the engine closes the
/// connection.
fn get(socket: &Path, path: &str) -> io::Result<Value> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let answer = read_until(&mut stream, deadline)?;
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let end_of_head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(broken)?;
    let (head, body) = answer.split_at(end_of_head);
    if head.split(|&b| b == b' ').nth(1) != Some(b"200") {
        return Err(broken());
    }
    Ok(serde_json::from_slice(&body[4..])?)
}

/// Reads to the end, but not more than [`MAX_ANSWER`] and not after `deadline`: an engine that answers
/// slowly must not delay the others.
fn read_until(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > MAX_ANSWER {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(answer),
            Ok(len) => answer.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(engine: &str, inspected: &Value) -> Option<ContainerFacts> {
    let text = |value: &Value| value.as_str().map(Box::<str>::from);
    let labels = &inspected["Config"]["Labels"];
    let compose = text(&labels["com.docker.compose.project"])
        .zip(text(&labels["com.docker.compose.service"]));
    let settings = &inspected["NetworkSettings"];
    let networks = settings["Networks"].as_object();
    let mut addresses: Vec<IpAddr> = networks
        .into_iter()
        .flat_map(serde_json::Map::values)
        .flat_map(|network| [&network["IPAddress"], &network["GlobalIPv6Address"]])
        .filter_map(|address| address.as_str()?.parse().ok())
        .collect();
    addresses.sort();
    addresses.dedup();
    let mut published: Vec<(SocketAddr, u16)> = settings["Ports"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(inside, outside)| {
            let inside: u16 = inside.strip_suffix("/tcp")?.parse().ok()?;
            Some((inside, outside.as_array()?))
        })
        .flat_map(|(inside, outside)| {
            outside.iter().filter_map(move |binding| {
                // Podman leaves the address empty where Docker has 0.0.0.0.
                let ip: IpAddr = match binding["HostIp"].as_str()? {
                    "" => Ipv4Addr::UNSPECIFIED.into(),
                    ip => ip.parse().ok()?,
                };
                let port = binding["HostPort"].as_str()?.parse().ok()?;
                Some((SocketAddr::new(ip, port), inside))
            })
        })
        .collect();
    published.sort();
    Some(ContainerFacts {
        id: text(&inspected["Id"])?,
        name: inspected["Name"].as_str()?.trim_start_matches('/').into(),
        engine: engine.into(),
        compose,
        addresses: addresses.into(),
        published: published.into(),
    })
}

#[cfg(test)]
mod tests;
