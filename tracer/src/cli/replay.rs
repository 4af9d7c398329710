//! `tracer replay`.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tracer_capture::{Item, Note, Replay};
use tracer_model::{Finding, Kind, Timestamp, WallTime};
use tracer_present::{Sink, TimeZone};

use super::color::ColorChoice;
use super::filter;
use super::outcome::Outcome;
use super::selection::{Selection, Window};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Replay in real time (1), twice as fast (2) … [default: as fast as possible]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    speed: Option<f64>,

    /// Keep reading while the capture is being recorded, until its recorder stops
    #[arg(long)]
    follow: bool,

    /// Exit with 3 if a finding of one of these kinds is shown
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    fail_on: Vec<Kind>,

    /// Print one JSON object per line and finding (see `tracer schema`)
    #[arg(long)]
    json: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(factor),
        _ => Err(format!(
            "`{text}` is not a factor; write for example 1, 10 or 0.5"
        )),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut sink = if args.json {
        Sink::json(io::stdout())
    } else {
        Sink::text(io::stdout(), args.color.enabled(), TimeZone::system())
    };
    let mut sources = args.selection.open(args.follow)?;
    let mut replay = Replay::new();
    let mut shown = Shown::new(args);
    let mut pace = args.speed.map(Pace::new);
    let mut findings = Vec::new();
    // If a source fails, everything read before that is shown first.
    let result = loop {
        let item = match sources.next_item() {
            Ok(Some(item)) => item,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match (&item, &mut pace) {
            (Item::Header(header), _) => shown.begin(header.machine.clock.wall),
            (Item::Observation(observation), Some(pace)) => pace.wait(observation.at),
            _ => {}
        }
        for note in replay.feed(item, &mut findings) {
            print_note(sources.name(), &note);
        }
        for finding in findings.drain(..) {
            shown.show(&finding, &mut sink)?;
        }
    };
    let note = replay.finish(&mut findings);
    for finding in findings.drain(..) {
        shown.show(&finding, &mut sink)?;
    }
    if let Some(note) = note {
        print_note(sources.name(), &note);
    }
    result?;
    Ok(if shown.failed {
        Outcome::FailOn
    } else {
        Outcome::Success
    })
}

fn print_note(name: &str, note: &Note) {
    eprintln!("tracer: {name}: {note}");
}

/// Which findings are shown. Analysis still gets every observation.
struct Shown<'a> {
    args: &'a Args,
    window: Option<Window>,
    failed: bool,
}

impl<'a> Shown<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            window: None,
            failed: false,
        }
    }

    /// A recording begins. The first one decides what times of day mean.
    fn begin(&mut self, at: WallTime) {
        self.window
            .get_or_insert_with(|| self.args.selection.window(at));
    }

    fn show(&mut self, finding: &Finding, sink: &mut Sink<io::Stdout>) -> io::Result<()> {
        if !self.args.selection.includes(self.window, finding) {
            return Ok(());
        }
        self.failed |= filter::fails(&self.args.fail_on, finding);
        sink.finding(finding)
    }
}

/// Waits between observations, for as long as the time between them or a fraction of it.
struct Pace {
    speed: f64,
    began: Option<(Instant, Timestamp)>,
}

impl Pace {
    fn new(speed: f64) -> Self {
        Self { speed, began: None }
    }

    fn wait(&mut self, at: Timestamp) {
        let (then, first) = *self.began.get_or_insert((Instant::now(), at));
        let due = at.since(first).as_secs_f64() / self.speed;
        let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
        thread::sleep(due.saturating_sub(then.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number() {
        assert_eq!(speed("1"), Ok(1.0));
        assert_eq!(speed("0.5"), Ok(0.5));
        for text in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
