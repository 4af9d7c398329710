//! The results as tables, on the terminal and in docs/benchmarks.md.

use std::fmt::Write as _;

use crate::compare::{Compared, Unit};
use crate::figures::{Aim, Figure};
use crate::statistics::{median, percentile};

/// Figures about one topic.
pub struct Section {
    pub title: &'static str,
    pub about: &'static str,
    pub figures: Vec<Figure>,
}

pub fn page(costs: &str, sections: &[Section], machine: &str) -> String {
    let mut text = format!(
        "# Benchmarks

`cargo xtask bench --write` measures all of this and writes this page. [Performance](performance.md) explains how the costs were
reduced.

Machine: {machine}.

{costs}"
    );
    for section in sections {
        let _ = write!(text, "\n{}", figures(section));
    }
    text
}

/// What it costs to be watched.
pub fn costs(all: &[Compared], rounds: usize, seconds: u64) -> String {
    let mut text = format!(
        "## What it costs the work that it watches

Each load runs with nobody watching (a process that sleeps), with `tracer watch --json` (everything on), and with other tools
that report the same events, in turn: {rounds} rounds of {seconds} s each. nginx is in its own cgroup, its client is not; its one
worker, the client and the watcher share the processors. Values are medians; the ratio to nobody is the median of the rounds' ratios,
with its quartiles. *Missed* events were neither reported nor counted by the tracer, over all rounds.

| load | watched by | value | ratio | aim | missed |
|---|---|---:|---:|---:|---:|
"
    );
    for one in all {
        let digits = match one.load.unit {
            Unit::MicrosEach => 2,
            Unit::PerSecond => 0,
        };
        let _ = writeln!(
            text,
            "| {} | nobody | {:.digits$} | | | |",
            one.load.name,
            median(&one.alone)
        );
        for (index, watched) in one.watched.iter().enumerate() {
            let (aim, missed) = match (index, one.load.unit) {
                (0, Unit::MicrosEach) => (format!("≤ {}", one.load.aim), one.missed.to_string()),
                (0, Unit::PerSecond) => (format!("≥ {}", one.load.aim), one.missed.to_string()),
                _ => (String::new(), String::new()),
            };
            let _ = writeln!(
                text,
                "| | {} | {:.digits$} | {:.3} ({:.3}–{:.3}) | {aim} | {missed} |",
                watched.by,
                median(&watched.values),
                median(&watched.ratios),
                percentile(&watched.ratios, 25),
                percentile(&watched.ratios, 75),
            );
        }
    }
    text
}

pub fn figures(section: &Section) -> String {
    let mut text = format!(
        "## {}\n\n{}\n\n| what | measured | aim |\n|---|---:|---:|\n",
        section.title, section.about
    );
    for figure in &section.figures {
        let aim = match figure.aim {
            Aim::None => String::new(),
            Aim::AtMost(most) => format!("≤ {most} {}", figure.unit),
            Aim::Zero => "0".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {:.*} {} | {aim} |",
            figure.what, figure.digits, figure.value, figure.unit
        );
    }
    text
}
