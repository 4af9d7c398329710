//! What it costs a load to be watched.
//!
//! Machines are noisy, rented ones more so. So in each round a load runs with nobody, with the
//! tracer and with each other tool in turn, and the result is the median of the rounds' ratios.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::load::nginx::Nginx;
use crate::load::{Driven, connects, exits, http};
use crate::watcher::{
    BPFTRACE_CONNECTS, BPFTRACE_EXITS, EXITSNOOP, Peer, TCPSTATES, Totals, Tracer, nobody,
};

/// A load, and how many of its events the tracer must report.
pub struct Load {
    pub name: &'static str,
    pub unit: Unit,
    /// The worst ratio that is acceptable.
    pub aim: f64,
    peers: &'static [&'static Peer],
    reported: fn(&Totals) -> u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    MicrosEach,
    PerSecond,
}

#[derive(Clone, Copy)]
enum Kind {
    Exits,
    ExitsOnOneProcessor,
    Connects,
    Http { status: u16 },
}

pub static EXITS: Load = Load {
    name: "vfork and exit, µs each",
    unit: Unit::MicrosEach,
    aim: 1.02,
    peers: &[&EXITSNOOP, &BPFTRACE_EXITS],
    reported: |totals| totals.total("exits"),
    kind: Kind::Exits,
};
pub static EXITS_ON_ONE_PROCESSOR: Load = Load {
    name: "the same on one processor, µs each",
    kind: Kind::ExitsOnOneProcessor,
    ..EXITS
};
pub static CONNECTS: Load = Load {
    name: "refused loopback connects, µs each",
    unit: Unit::MicrosEach,
    aim: 1.05,
    peers: &[&TCPSTATES, &BPFTRACE_CONNECTS],
    reported: |totals| totals.total("connects_failed"),
    kind: Kind::Connects,
};
pub static HEALTHY: Load = Load {
    name: "nginx, healthy requests/s",
    unit: Unit::PerSecond,
    aim: 0.99,
    peers: &[],
    reported: |totals| totals.requests_failed,
    kind: Kind::Http { status: 200 },
};
pub static REFUSED: Load = Load {
    name: "nginx, requests/s answered 502",
    unit: Unit::PerSecond,
    aim: 0.95,
    peers: &[],
    reported: |totals| totals.requests_failed,
    kind: Kind::Http { status: 502 },
};

/// The values of a load, by round.
pub struct Compared {
    pub load: &'static Load,
    pub alone: Vec<f64>,
    /// The tracer first.
    pub watched: Vec<Watched>,
    /// Events that the tracer did not report, over all rounds.
    pub missed: u64,
}

/// The tracer with all hooks of this kernel, or with fewer.
#[derive(Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    /// `TRACER_WITHOUT`.
    pub without: &'static str,
}

pub const WHOLE: Variant = Variant {
    name: "tracer",
    without: "",
};
/// Without the hook that only kernels without fentry and kprobes need, and that slows each system
/// call.
pub const NO_SYSTEM_CALLS: Variant = Variant {
    name: "tracer without the system call's tracepoint",
    without: "syscall",
};

pub struct Watched {
    pub by: &'static str,
    pub values: Vec<f64>,
    /// Relative to the value of the same round with nobody.
    pub ratios: Vec<f64>,
}

pub fn compare(
    load: &'static Load,
    binary: &Path,
    variants: &[Variant],
    rounds: usize,
    time: Duration,
) -> Result<Compared> {
    let nginx = match load.kind {
        Kind::Http { status } => Some(Nginx::start(status == 502)?),
        Kind::Exits | Kind::ExitsOnOneProcessor | Kind::Connects => None,
    };
    let drive = || match (load.kind, &nginx) {
        (Kind::Http { status }, Some(nginx)) => http::drive(nginx.port(), status, time),
        (Kind::Connects, _) => connects::drive(time),
        (Kind::ExitsOnOneProcessor, _) => exits::drive_on_one_processor(time),
        _ => exits::drive(time),
    };
    // The first run warms up.
    drive()?;
    let mut compared = Compared {
        load,
        alone: Vec::new(),
        watched: variants
            .iter()
            .map(|variant| Watched::new(variant.name))
            .collect(),
        missed: 0,
    };
    let mut peers = load.peers.to_vec();
    for round in 1..=rounds {
        let idle = nobody()?;
        let alone = load.value(drive()?);
        idle.stop()?;
        compared.alone.push(alone);
        let mut line = format!("{}, round {round} of {rounds}: {alone:.2} alone", load.name);

        for (variant, watched) in variants.iter().zip(&mut compared.watched) {
            let tracer = Tracer::start_without(variant.without, binary, &[], |_| {})?;
            let driven = drive()?;
            let reported = (load.reported)(&tracer.stop()?);
            let expected = load.expected(driven);
            compared.missed += expected.saturating_sub(reported);
            watched.add(load.value(driven), alone);
            let _ = write!(
                line,
                ", {:.2} with {}, which reported {reported} of {expected}",
                load.value(driven),
                variant.name
            );
        }

        let mut absent = Vec::new();
        for (index, peer) in peers.iter().enumerate() {
            let Some(watching) = peer.start()? else {
                absent.push(index);
                continue;
            };
            let value = load.value(drive()?);
            if !watching.stop().with_context(|| peer.name)? {
                println!("{} had to be killed", peer.name);
            }
            compared.of(peer.name).add(value, alone);
            let _ = write!(line, ", {value:.2} with {}", peer.name);
        }
        for index in absent.into_iter().rev() {
            println!("{} is not installed", peers.remove(index).name);
        }
        println!("{line}");
    }
    Ok(compared)
}

impl Compared {
    fn of(&mut self, by: &'static str) -> &mut Watched {
        let known = self.watched.iter().position(|one| one.by == by);
        let index = known.unwrap_or_else(|| {
            self.watched.push(Watched::new(by));
            self.watched.len() - 1
        });
        &mut self.watched[index]
    }
}

impl Watched {
    fn new(by: &'static str) -> Self {
        Self {
            by,
            values: Vec::new(),
            ratios: Vec::new(),
        }
    }

    fn add(&mut self, value: f64, alone: f64) {
        self.values.push(value);
        self.ratios.push(value / alone);
    }
}

impl Load {
    fn value(&self, driven: Driven) -> f64 {
        match self.unit {
            Unit::MicrosEach => driven.micros_each(),
            Unit::PerSecond => driven.per_second(),
        }
    }

    fn expected(&self, driven: Driven) -> u64 {
        match self.kind {
            Kind::Http { status: 200 } => 0,
            _ => driven.count,
        }
    }
}
