//! Reads a trace back, as its consumers do.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::SEQUENCE;
use super::wire::{Data, EventType, SEQUENCE_BEGINS, Trace};

/// What a trace holds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub unknown_tracks: usize,
    pub begun: usize,
    pub ended: usize,
    pub arrows: usize,
    pub in_order: bool,
}

pub(crate) fn perfetto_trace(bytes: &[u8]) -> Summary {
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
                        summary.in_order &= open.remove(&track).is_some_and(|began| began <= at);
                    }
                    _ => {}
                }
            }
        }
    }
    summary
}
