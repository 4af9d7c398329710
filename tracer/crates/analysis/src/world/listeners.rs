//! Listeners: the sockets at each address of each network namespace, and the service that they
//! belong or belonged to.
//!
//! An address is down when its last socket is gone (SO_REUSEPORT: several may share it). Sockets
//! have two kinds of id that can't be matched: those of kernel hooks and those of scans. They are
//! reconciled by address and number.

use std::collections::{BTreeSet, HashMap};

use ahash::RandomState;
use indexmap::IndexMap;

use tracer_model::{Endpoint, Listener, NetNs, ProcessKey, Service, SocketId, Timestamp};

/// Addresses remembered; lost ones are forgotten first.
const MAX_PLACES: usize = 16_384;
/// A scan does not overrule a hook that came less than this before it: reading takes time.
const SCAN_BLUR: std::time::Duration = std::time::Duration::from_secs(1);

/// An address in a network namespace.
pub type Place = (NetNs, Endpoint);

/// What listens, or last listened, at a place.
#[derive(Clone, Debug)]
pub struct Listening {
    sockets: BTreeSet<SocketId>,
    /// Processes known to hold it.
    pub holders: BTreeSet<ProcessKey>,
    /// The service it belongs to.
    pub service: Service,
    /// The process whose service that is.
    pub owner: Option<ProcessKey>,
    /// When it began to listen.
    pub since: Timestamp,
    /// When it stopped; None while it listens.
    pub down: Option<Timestamp>,
}

/// What changed because a socket came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something listens at the address; nothing did since the instant, or ever (None).
    Up(Place, Option<Timestamp>),
    /// Nothing listens at the address any more.
    Down(Place),
}

/// What a process holds of the listeners that are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Nothing,
    /// Only listeners that other processes hold too.
    Shared,
    /// At least one listener that, as far as is known, no other process holds.
    Alone,
}

/// All known listeners.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Found by hash, so that many take no longer than few; sorted where order matters.
    places: IndexMap<Place, Listening, RandomState>,
    /// Never iterated.
    held: HashMap<ProcessKey, BTreeSet<Place>, RandomState>,
    /// Grows whenever a process starts or stops holding a TCP place.
    tcp_version: u64,
}

impl Listeners {
    /// What is known of a place.
    pub fn get(&self, place: &Place) -> Option<&Listening> {
        self.places.get(place)
    }

    /// All places, also lost ones. For uses that do not depend on the order.
    pub fn in_any_order(&self) -> impl Iterator<Item = (&Place, &Listening)> {
        self.places.iter()
    }

    /// The listener that would accept a connect to `remote` in `netns`: the most specific one that
    /// is up, else the one that was lost last.
    pub fn answering(&self, netns: NetNs, remote: &Endpoint) -> Option<(&Place, &Listening)> {
        let mut lost: Option<(&Place, &Listening)> = None;
        for candidate in remote.candidates() {
            let Some(found) = self.places.get_key_value(&(netns, candidate)) else {
                continue;
            };
            if found.1.down.is_none() {
                return Some(found);
            }
            if lost.is_none_or(|(_, best)| found.1.down > best.down) {
                lost = Some(found);
            }
        }
        lost
    }

    /// What a process holds of the listeners that are up.
    pub fn hold_of(&self, key: ProcessKey) -> Hold {
        let alone = |known: &Listening| known.holders.iter().all(|holder| *holder == key);
        let mut held = self
            .held_by(key)
            .filter_map(|place| self.places.get(place))
            .peekable();
        if held.peek().is_none() {
            Hold::Nothing
        } else if held.any(alone) {
            Hold::Alone
        } else {
            Hold::Shared
        }
    }

    /// Where a process is known to listen.
    pub fn held_by(&self, key: ProcessKey) -> impl Iterator<Item = &Place> {
        self.held.get(&key).into_iter().flatten()
    }

    /// Grows whenever a process starts or stops holding a TCP place.
    pub fn tcp_version(&self) -> u64 {
        self.tcp_version
    }

    /// Whether the service listens anywhere.
    pub fn serves(&self, is: impl Fn(&Service) -> bool) -> bool {
        self.places
            .values()
            .any(|listening| listening.down.is_none() && is(&listening.service))
    }

    /// A socket began to listen, or was found listening.
    pub fn up(
        &mut self,
        listener: &Listener,
        at: Timestamp,
        owner: Option<ProcessKey>,
        service: Service,
    ) -> Option<Change> {
        let place = (listener.netns, listener.address.clone());
        if !self.places.contains_key(&place) && !self.make_room() {
            return None;
        }
        for holder in &listener.holders {
            let held = self.held.entry(*holder).or_default();
            if held.insert(place.clone()) && matches!(place.1, Endpoint::Tcp(_)) {
                self.tcp_version += 1;
            }
        }
        let Some(known) = self.places.get_mut(&place) else {
            self.places.insert(
                place.clone(),
                Listening {
                    sockets: BTreeSet::from([listener.socket]),
                    holders: listener.holders.iter().copied().collect(),
                    service,
                    owner,
                    since: at,
                    down: None,
                },
            );
            return Some(Change::Up(place, None));
        };
        let came_back = known.down.take();
        let by_kernel = |id: &SocketId| matches!(id, SocketId::Kernel(_));
        if came_back.is_some() {
            known.since = at;
            known.holders.clear();
            known.service = service;
            known.owner = owner;
        } else if known.owner.is_none() {
            known.service = service;
            known.owner = owner;
        }
        known.holders.extend(listener.holders.iter().copied());
        match listener.socket {
            // The hook saw the socket before the scan did.
            SocketId::Scanned(_) if known.sockets.iter().any(by_kernel) => {}
            socket => {
                if let SocketId::Kernel(_) = socket
                    && known.since >= at
                    && let Some(scanned) = known.first_scanned()
                {
                    known.sockets.remove(&scanned);
                }
                known.sockets.insert(socket);
            }
        }
        came_back.map(|down| Change::Up(place, Some(down)))
    }

    /// A socket stopped listening. Without a port (the kernel had chosen it, and has freed it by
    /// now), the place is found by the socket.
    pub fn down(&mut self, socket: SocketId, place: &Place, at: Timestamp) -> Option<Change> {
        let by_socket;
        let place = if matches!(&place.1, Endpoint::Tcp(address) if address.port() == 0) {
            let having =
                |(place, known): (_, &Listening)| known.sockets.contains(&socket).then_some(place);
            by_socket = self.places.iter().filter_map(having).min()?.clone();
            &by_socket
        } else {
            place
        };
        let known = self.places.get_mut(place)?;
        if !known.sockets.remove(&socket) {
            let scanned = known.first_scanned()?;
            known.sockets.remove(&scanned);
        }
        if known.sockets.is_empty() && known.down.is_none() {
            return self.lose(place, at);
        }
        None
    }

    /// A process exited: unix sockets that only it held are gone.
    pub fn holder_exited(&mut self, key: ProcessKey, at: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for place in self.held.remove(&key).unwrap_or_default() {
            let Some(known) = self.places.get_mut(&place) else {
                continue;
            };
            known.holders.remove(&key);
            if known.holders.is_empty()
                && known.down.is_none()
                && matches!(place.1, Endpoint::Unix(_))
            {
                changes.extend(self.lose(&place, at));
            }
        }
        changes
    }

    /// A process became known. It owns the listeners it holds that have no owner yet.
    pub fn adopted(&mut self, key: ProcessKey, service: &Service) {
        for place in self.held.get(&key).into_iter().flatten() {
            if let Some(known) = self.places.get_mut(place)
                && known.owner.is_none()
            {
                known.owner = Some(key);
                known.service = service.clone();
            }
        }
    }

    /// The listeners that a process owns belong to this service from now on.
    pub fn rename_of(&mut self, key: ProcessKey, service: &Service) {
        for place in self.held.get(&key).into_iter().flatten() {
            if let Some(known) = self.places.get_mut(place)
                && known.owner == Some(key)
            {
                known.service = service.clone();
            }
        }
    }

    /// The listener at a place belongs to this service from now on.
    pub fn rename(&mut self, place: &Place, service: &Service) {
        if let Some(known) = self.places.get_mut(place) {
            known.service = service.clone();
        }
    }

    /// A child holds its parent's unix sockets.
    pub fn inherit(&mut self, parent: ProcessKey, child: ProcessKey) {
        let Some(places) = self.held.get(&parent) else {
            return;
        };
        let places: BTreeSet<Place> = places
            .iter()
            .filter(|(_, address)| matches!(address, Endpoint::Unix(_)))
            .cloned()
            .collect();
        if places.is_empty() {
            return;
        }
        for place in &places {
            if let Some(known) = self.places.get_mut(place) {
                known.holders.insert(child);
            }
        }
        self.held.insert(child, places);
    }

    /// A process runs another program. Well-behaved servers close on exec what they inherited; a scan
    /// corrects the rest.
    pub fn executed(&mut self, key: ProcessKey) {
        let Some(places) = self.held.get_mut(&key) else {
            return;
        };
        places.retain(|place| {
            let Some(known) = self.places.get_mut(place) else {
                return false;
            };
            if known.holders.len() > 1 && known.owner != Some(key) {
                known.holders.remove(&key);
                self.tcp_version += 1;
                return false;
            }
            true
        });
        if places.is_empty() {
            self.held.remove(&key);
        }
    }

    /// A full scan of one kind in one namespace: listeners that it did not find are gone. The caller
    /// adds new ones with [`Self::up`].
    pub fn scanned(
        &mut self,
        netns: NetNs,
        unix: bool,
        found: &[Listener],
        at: Timestamp,
    ) -> Vec<Change> {
        let present: BTreeSet<&Endpoint> = found.iter().map(|one| &one.address).collect();
        let ids: BTreeSet<SocketId> = found.iter().map(|one| one.socket).collect();
        let mut gone = Vec::new();
        for (place, known) in &mut self.places {
            let kind = matches!(place.1, Endpoint::Unix(_)) == unix;
            if place.0 != netns || !kind || known.down.is_some() {
                continue;
            }
            if present.contains(&place.1) {
                known
                    .sockets
                    .retain(|id| matches!(id, SocketId::Kernel(_)) || ids.contains(id));
                continue;
            }
            if unix || known.since.after(SCAN_BLUR) < at {
                gone.push(place.clone());
            }
        }
        gone.sort();
        gone.iter()
            .filter_map(|place| self.lose(place, at))
            .collect()
    }

    fn lose(&mut self, place: &Place, at: Timestamp) -> Option<Change> {
        let known = self.places.get_mut(place)?;
        known.sockets.clear();
        known.down = Some(at);
        self.tcp_version += u64::from(matches!(place.1, Endpoint::Tcp(_)));
        for holder in std::mem::take(&mut known.holders) {
            if let Some(places) = self.held.get_mut(&holder) {
                places.remove(place);
                if places.is_empty() {
                    self.held.remove(&holder);
                }
            }
        }
        Some(Change::Down(place.clone()))
    }

    fn make_room(&mut self) -> bool {
        if self.places.len() < MAX_PLACES {
            return true;
        }
        let oldest = self
            .places
            .iter()
            .filter_map(|(place, known)| known.down.map(|down| (down, place)))
            .min()
            .map(|(_, place)| place.clone());
        oldest.is_some_and(|place| self.places.swap_remove(&place).is_some())
    }
}

impl Listening {
    fn first_scanned(&self) -> Option<SocketId> {
        self.sockets
            .iter()
            .find(|id| matches!(id, SocketId::Scanned(_)))
            .copied()
    }
}
