//! Findings as a trace for ui.perfetto.dev: a group of tracks per service, with incidents and outages
//! as slices, deaths and failed requests as instants, and arrows from a death to the requests that
//! failed because of it.
//!
//! Times are wall-clock times. Perfetto assumes BOOTTIME, so the trace declares both clocks equal.

#[cfg(test)]
pub(super) mod reading;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use prost::Message as _;
use tracer_model::{Body, Finding, IncidentState, WallTime, printable};

use self::wire::{
    Argument, BOOTTIME, Clock, ClockSnapshot, Data, DebugAnnotation, EventType, REALTIME,
    SEQUENCE_BEGINS, Trace, TracePacket, TrackDescriptor, TrackEvent,
};
use super::row::{COLUMNS, Row, Value};

/// The id of the sequence that all packets belong to.
const SEQUENCE: u32 = 1;
/// How many tracks there may be. Events without a track of their own go to the last one.
const MAX_TRACKS: usize = 10_000;
/// How many effects of an incident get an arrow.
const MAX_ARROWS: u64 = 200;
/// How many slices may be open at once.
const MAX_OPEN: usize = 10_000;
/// Longest name of an event or a track, in characters.
const LONGEST: usize = 200;

/// A trace in the making.
pub(super) struct Perfetto<W> {
    out: W,
    began: bool,
    /// Number of the session: incident ids start again in each.
    session: u64,
    tracks: BTreeSet<u64>,
    /// Tracks with an open slice.
    open: BTreeSet<u64>,
    /// How many arrows each incident has.
    arrows: BTreeMap<u64, u64>,
}

impl<W: Write> Perfetto<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            began: false,
            session: 0,
            tracks: BTreeSet::new(),
            open: BTreeSet::new(),
            arrows: BTreeMap::new(),
        }
    }

    pub(super) fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        if !self.began {
            self.begin(finding.at)?;
        }
        let at = finding.at;
        match &finding.body {
            Body::Start(_) => {
                self.session += 1;
                self.arrows.clear();
                self.instant("tracer", "runs", "start", finding, None)
            }
            Body::End(_) => self.instant("tracer", "runs", "end", finding, None),
            Body::Mark(mark) => self.instant("tracer", "marks", &mark.label, finding, None),
            Body::Lost(_) => self.instant("tracer", "runs", "events lost", finding, None),
            Body::Oom(death) => {
                self.instant(&death.service.name, "deaths", "OOM kill", finding, None)
            }
            Body::Death(death) => {
                let name = format!("{}[{}] died", death.process.comm, death.process.pid);
                self.instant(
                    &death.service.name,
                    "deaths",
                    &name,
                    finding,
                    death.incident,
                )
            }
            Body::ListenerDown(change) => {
                let track = format!("down {}", change.address);
                self.slice(at, &change.service.name, &track, "down", Some(finding))
            }
            Body::ListenerUp(change) => {
                let track = format!("down {}", change.address);
                self.slice(at, &change.service.name, &track, "down", None)
            }
            Body::ConnectFailed(failure) => {
                let service = failure.upstream.service.as_deref();
                let service = service.unwrap_or(&failure.proxy.name);
                self.instant(service, "failed connects", "connect failed", finding, None)
            }
            Body::ConnectionCut(cut) => {
                let name = "connections cut";
                self.instant(&cut.service.name, name, name, finding, cut.incident)
            }
            Body::RequestFailed(request) => {
                let upstream = request.upstream.as_ref();
                let service = upstream.and_then(|upstream| upstream.service.as_deref());
                let service = service.unwrap_or(&request.proxy.name);
                let words = [&request.method, &request.path].map(|word| word.as_deref());
                let name = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
                let name = if name.is_empty() { "request" } else { &name };
                let because = request.because.as_ref().map(|because| because.incident);
                self.instant(service, "failed requests", name, finding, because)
            }
            Body::Incident(incident) => {
                let service = &incident.service.name;
                let (track, name) = ("incidents", &incident.summary);
                match (incident.state, incident.closed) {
                    (IncidentState::Closed, Some(closed)) => {
                        // No effect if it is open already; its beginning may be missing.
                        self.slice(incident.opened, service, track, name, Some(finding))?;
                        self.slice(closed, service, track, name, None)
                    }
                    _ => self.slice(incident.opened, service, track, name, Some(finding)),
                }
            }
        }
    }

    pub(super) fn finish(self) -> W {
        self.out
    }

    fn begin(&mut self, at: WallTime) -> io::Result<()> {
        self.began = true;
        let clock = |clock_id| Clock {
            clock_id: Some(clock_id),
            timestamp: Some(ns(at)),
        };
        let clocks = vec![clock(BOOTTIME), clock(REALTIME)];
        let snapshot = Data::ClockSnapshot(ClockSnapshot { clocks });
        self.packet(Some(at), Some(SEQUENCE_BEGINS), snapshot)
    }

    /// Writes a packet. A trace is a sequence of packets, so each is written as a trace of its own.
    fn packet(&mut self, at: Option<WallTime>, flags: Option<u32>, data: Data) -> io::Result<()> {
        let packet = TracePacket {
            timestamp: at.map(ns),
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: flags,
            data: Some(data),
        };
        let trace = Trace {
            packet: vec![packet],
        };
        self.out.write_all(&trace.encode_to_vec())
    }

    /// Writes an event without duration.
    fn instant(
        &mut self,
        service: &str,
        track: &str,
        name: &str,
        finding: &Finding,
        incident: Option<u64>,
    ) -> io::Result<()> {
        let track = self.track(service, track)?;
        let flow_ids = incident.map_or_else(Vec::new, |incident| self.arrow(incident));
        let event = TrackEvent {
            debug_annotations: arguments(finding),
            r#type: Some(EventType::Instant.into()),
            track_uuid: Some(track),
            categories: vec![finding.body.kind().as_str().to_owned()],
            name: Some(cut(name)),
            flow_ids,
        };
        self.packet(Some(finding.at), None, Data::TrackEvent(event))
    }

    /// Begins the track's slice with the finding in `begins`, or ends it. Only an open slice is ended,
    /// and an open slice is not begun again.
    fn slice(
        &mut self,
        at: WallTime,
        service: &str,
        track: &str,
        name: &str,
        begins: Option<&Finding>,
    ) -> io::Result<()> {
        let track = self.track(service, track)?;
        let fits = if begins.is_some() {
            self.open.len() < MAX_OPEN && self.open.insert(track)
        } else {
            self.open.remove(&track)
        };
        if !fits {
            return Ok(());
        }
        let event = match begins {
            Some(finding) => TrackEvent {
                debug_annotations: arguments(finding),
                r#type: Some(EventType::SliceBegin.into()),
                track_uuid: Some(track),
                categories: vec![finding.body.kind().as_str().to_owned()],
                name: Some(cut(name)),
                flow_ids: Vec::new(),
            },
            None => TrackEvent {
                r#type: Some(EventType::SliceEnd.into()),
                track_uuid: Some(track),
                ..TrackEvent::default()
            },
        };
        self.packet(Some(at), None, Data::TrackEvent(event))
    }

    /// The id of an incident's arrows; none if it has enough of them.
    fn arrow(&mut self, incident: u64) -> Vec<u64> {
        if self.arrows.len() >= MAX_OPEN && !self.arrows.contains_key(&incident) {
            return Vec::new();
        }
        let count = self.arrows.entry(incident).or_default();
        *count += 1;
        if *count > MAX_ARROWS {
            return Vec::new();
        }
        vec![hash(&[&self.session.to_string(), &incident.to_string()])]
    }

    /// The id of a service's track. Service and track are described when they are new.
    fn track(&mut self, service: &str, track: &str) -> io::Result<u64> {
        let full = self.tracks.len() >= MAX_TRACKS;
        let group = self.describe(if full { "others" } else { service }, None)?;
        self.describe(if full { "others" } else { track }, Some(group))
    }

    fn describe(&mut self, name: &str, parent: Option<u64>) -> io::Result<u64> {
        let uuid = hash(&[&parent.unwrap_or_default().to_string(), name]);
        if self.tracks.insert(uuid) {
            let descriptor = TrackDescriptor {
                uuid: Some(uuid),
                name: Some(cut(name)),
                parent_uuid: parent,
            };
            self.packet(None, None, Data::TrackDescriptor(descriptor))?;
        }
        Ok(uuid)
    }
}

fn ns(at: WallTime) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

fn cut(text: &str) -> String {
    printable(text).chars().take(LONGEST).collect()
}

/// FNV-1a: equal in every run, so that traces can be compared. Never 0, which means no track.
fn hash(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.max(1)
}

/// The cells of a finding's row, without those that the event itself shows.
fn arguments(finding: &Finding) -> Vec<DebugAnnotation> {
    COLUMNS
        .iter()
        .zip(Row::of(finding).into_cells())
        .filter(|(column, _)| !matches!(column.name, "at" | "kind"))
        .filter_map(|(column, cell)| {
            let value = match cell? {
                Value::Text(text) => Argument::Text(printable(&text).into_owned()),
                Value::Int(number) => Argument::Int(number),
                Value::Float(number) => Argument::Double(number),
                Value::Bool(yes) => Argument::Text(yes.to_string()),
                Value::Time(at) => Argument::Text(at.to_string()),
            };
            Some(DebugAnnotation {
                name: Some(column.name.to_owned()),
                value: Some(value),
            })
        })
        .collect()
}
