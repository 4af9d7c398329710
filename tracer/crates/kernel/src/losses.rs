//! Counts lost events: records that found no room in a ring buffer, events whose program the kernel
//! skipped, and bytes in a ring buffer that are not a record.

use std::os::fd::AsFd as _;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use tracer_common::record::lost;
use tracer_model::{Observation, Ring, Timestamp, What};

use super::error::StartError;
use super::object::take_map;
use super::skips::{self, Counts, Skips};

/// How often the counters are read while there is something to read in the rings.
const EVERY: Duration = Duration::from_millis(250);
/// How often the kernel's counters of skipped programs are read, which costs more.
const SKIPS_EVERY: Duration = Duration::from_secs(1);

/// What each index of [`Counts`] means in observations.
const RINGS: [Ring; lost::COUNT as usize] = [
    Ring::Deaths,
    Ring::Traffic,
    Ring::Connecting,
    Ring::Requests,
];

/// See the module.
pub(super) struct Losses {
    /// The programs' counters of records that found no room.
    no_room_map: PerCpuArray<MapData, u64>,
    /// The programs' counters of events that second programs handled.
    made_good_map: PerCpuArray<MapData, u64>,
    looked: Timestamp,
    skips_looked: Timestamp,
    /// As last read.
    no_room: Counts,
    made_good: Counts,
    skips: Skips,
    /// Bytes in a ring buffer that are not a record; reported as losses of `TRAFFIC`.
    malformed: u64,
    /// What was reported until now.
    reported: Counts,
}

impl Losses {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            no_room_map: take_map(ebpf, "LOST")?,
            made_good_map: take_map(ebpf, "MADE_GOOD")?,
            looked: Timestamp::default(),
            skips_looked: Timestamp::default(),
            no_room: Counts::default(),
            made_good: Counts::default(),
            skips: Skips::default(),
            malformed: 0,
            reported: Counts::default(),
        })
    }

    /// Counts bytes that are not a record.
    pub(super) fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    /// Whether it is time for [`Self::look`].
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.looked) >= EVERY
    }

    /// Appends what was lost since the last call. Returns whether records of failed connects may be
    /// among it.
    pub(super) fn look(&mut self, ebpf: &Ebpf, now: Timestamp, out: &mut Vec<Observation>) -> bool {
        self.looked = now;
        read_sums(&self.no_room_map, &mut self.no_room);
        let mut totals = self.no_room;
        if now.since(self.skips_looked) >= SKIPS_EVERY {
            self.skips_looked = now;
            read_sums(&self.made_good_map, &mut self.made_good);
            self.skips.look(skipped(ebpf), self.made_good);
        }
        for (total, skips) in totals.iter_mut().zip(self.skips.lost()) {
            *total += skips;
        }
        totals[lost::TRAFFIC as usize] += self.malformed;
        for (at, ring) in RINGS.into_iter().enumerate() {
            let count = totals[at].saturating_sub(self.reported[at]);
            if count > 0 {
                out.push(Observation {
                    at: now,
                    what: What::Lost { ring, count },
                });
            }
        }
        let traffic = lost::TRAFFIC as usize;
        let traffic_lost = totals[traffic] > self.reported[traffic];
        self.reported = totals;
        traffic_lost
    }

    /// Makes the next [`Self::look`] the last one: it is due at once, and waits for no second
    /// program.
    pub(super) fn settle(&mut self, ebpf: &Ebpf) {
        self.looked = Timestamp::default();
        self.skips_looked = Timestamp::default();
        self.skips.settle(skipped(ebpf));
    }
}

/// Adds up the counters of all processors. A counter that cannot be read keeps its last value: it
/// exists as long as the programs do.
fn read_sums(counters: &PerCpuArray<MapData, u64>, sums: &mut Counts) {
    for (index, sum) in (0u32..).zip(sums) {
        if let Ok(values) = counters.get(&index, 0) {
            *sum = values.iter().sum();
        }
    }
}

/// Events whose program the kernel skipped, by what is lost with them.
fn skipped(ebpf: &Ebpf) -> Counts {
    let mut skipped = Counts::default();
    for (name, program) in ebpf.programs() {
        if let (Some(index), Ok(program)) = (skips::lost_by(name), program.fd()) {
            skipped[index as usize] += skips::of(program.as_fd());
        }
    }
    skipped
}
