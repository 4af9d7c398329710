//! Findings as a trace for ui.perfetto.dev: a group of tracks per service with its incidents and
//! outages as slices, its deaths and failed requests as instants, and arrows from a death to the
//! requests that failed because of it.
//!
//! Times are those of the wall; the trace says that they are BOOTTIME as well, the clock that
//! Perfetto takes for granted.

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

/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// How many tracks there are at most; what has none of its own goes to the last.
const MAX_TRACKS: usize = 10_000;
/// To how many effects of an incident arrows go.
const MAX_ARROWS: u64 = 200;
/// How many slices may be open at once.
const MAX_OPEN: usize = 10_000;
/// Longest name of an event or a track, in characters.
const LONGEST: usize = 200;

/// See the module.
pub(super) struct Perfetto<W> {
    out: W,
    began: bool,
    /// Number of the tracer's run: incidents are counted anew in each.
    session: u64,
    tracks: BTreeSet<u64>,
    /// Slices that are open, by track.
    open: BTreeSet<u64>,
    /// How many arrows an incident has.
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
                        // Nothing happens when it is open; its beginning may have been cut off.
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

    /// A trace is packets one after the other: each is written as a trace of its own.
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

    /// Something that has no length.
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

    /// Begins the track's slice with what `begins` tells, or ends it. Only what is open is ended,
    /// and what is open is not begun again.
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

    /// The id of an incident's arrows, unless it has enough of them.
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

    /// The id of a service's track; both are described when they are new.
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

/// FNV-1a: the same in every run, so that traces can be compared. Never 0, which means no track.
fn hash(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.max(1)
}

/// The cells of a finding's row that the event does not tell by itself.
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

#[cfg(test)]
pub(super) mod reading {
    //! Reads a trace as its consumers do.

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// What a trace holds.
    #[derive(Debug, Default)]
    pub(in super::super) struct Summary {
        pub unknown_tracks: usize,
        pub begun: usize,
        pub ended: usize,
        pub arrows: usize,
        pub in_order: bool,
    }

    pub(in super::super) fn perfetto_trace(bytes: &[u8]) -> Summary {
        let all = Trace::decode(bytes).unwrap();
        let mut summary = Summary {
            in_order: true,
            ..Summary::default()
        };
        let mut tracks = BTreeSet::new();
        let mut open: BTreeMap<u64, u64> = BTreeMap::new();
        let first = all.packet.first().unwrap();
        assert_eq!(first.sequence_flags, Some(SEQUENCE_BEGINS));
        for packet in all.packet {
            assert_eq!(packet.trusted_packet_sequence_id, Some(SEQUENCE));
            match packet.data.unwrap() {
                Data::ClockSnapshot(clocks) => assert_eq!(clocks.clocks.len(), 2),
                Data::TrackDescriptor(track) => {
                    let parent = track.parent_uuid;
                    assert!(parent.is_none_or(|parent| tracks.contains(&parent)));
                    assert!(tracks.insert(track.uuid.unwrap()), "described once");
                }
                Data::TrackEvent(event) => {
                    let track = event.track_uuid.unwrap();
                    let at = packet.timestamp.unwrap();
                    summary.unknown_tracks += usize::from(!tracks.contains(&track));
                    summary.arrows += event.flow_ids.len();
                    match event.r#type() {
                        EventType::SliceBegin => {
                            summary.begun += 1;
                            summary.in_order &= open.insert(track, at).is_none();
                        }
                        EventType::SliceEnd => {
                            summary.ended += 1;
                            summary.in_order &=
                                open.remove(&track).is_some_and(|began| began <= at);
                        }
                        _ => {}
                    }
                }
            }
        }
        summary
    }
}
