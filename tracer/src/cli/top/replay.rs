//! The screen of a capture: play, pause, seek in both directions.
//!
//! Seeking backwards replays from the beginning, as fast as possible. That way playback needs no
//! more memory than a live screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;
use tracer_capture::{Item, Note, Replay, Source, SourceError, Sources};
use tracer_model::{Body, Finding, WallTime};
use tracer_present::top::{Playback, Sample, Screen, Want};

use super::terminal::{FRAME, Terminal, restore};
use crate::cli::filter::{self, ServiceGlob};
use crate::cli::runtime::runtime;
use crate::cli::stop;

/// How many incidents are drawn on the bar; the first ones.
const MAX_INCIDENTS: usize = 1_000;
/// How many notes about the capture are kept until the screen is closed.
const MAX_NOTES: usize = 20;
/// How often the services are sampled during playback, and during a seek.
const SAMPLE_NS: i64 = 1_000_000_000;
const FAST_SAMPLE_NS: i64 = 60 * SAMPLE_NS;
const SPEEDS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 600.0];
/// How long to wait for a terminal that has stopped taking output.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(files: &[Source], globs: &[ServiceGlob], screen: Screen) -> anyhow::Result<()> {
    // Errors from here must be printed before the terminal is set up for drawing.
    let survey = Survey::of(files, globs)?;
    let (files, globs) = (files.to_vec(), globs.to_vec());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let notes = runtime()?.block_on(async {
        let asked = stop::stop_request(None)?;
        let (ended, screen_ended) = oneshot::channel();
        thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                let shown = show(files, globs, survey, screen, &stopped);
                // Fails if a signal came first: then nobody waits for this any more.
                let _ = ended.send(shown);
            })
            .context("the screen's thread could not be started")?;
        let mut screen_ended = screen_ended;
        tokio::select! {
            () = asked => {}
            shown = &mut screen_ended => return shown.context("the screen ended unexpectedly")?,
        }
        stop.store(true, Ordering::Relaxed);
        if let Ok(shown) = tokio::time::timeout(PATIENCE, screen_ended).await {
            shown.context("the screen ended unexpectedly")?
        } else {
            restore();
            Ok(Vec::new())
        }
    })?;
    for (name, note) in notes {
        eprintln!("tracer: {name}: {note}");
    }
    Ok(())
}

/// The name of a source, and a note about it.
type NamedNote = (String, Note);

/// An overview of a capture, from reading it once.
struct Survey {
    range: (WallTime, WallTime),
    /// For each incident, the time to seek to so that the screen shows it. This may be later than
    /// its beginning: observations are not always in order of time, and an incident may be reported
    /// only after later ones were read.
    incidents: Vec<WallTime>,
}

impl Survey {
    fn of(files: &[Source], globs: &[ServiceGlob]) -> anyhow::Result<Self> {
        let mut sources = Sources::open(files, false)?;
        let mut replay = Replay::new();
        let mut findings = Vec::new();
        let mut range: Option<(WallTime, WallTime)> = None;
        let mut incidents = Vec::new();
        while let Some(item) = sources.next_item()? {
            let at = wall(&replay, &item);
            replay.feed(item, &mut findings);
            if let Some(at) = at {
                let (first, last) = range.unwrap_or((at, at));
                range = Some((first.min(at), last.max(at)));
            }
            for finding in findings.drain(..) {
                if let Body::Incident(incident) = &finding.body
                    && incident.closed.is_none()
                    && filter::concerns(globs, &finding)
                    && incidents.len() < MAX_INCIDENTS
                    && let Some((_, reported)) = range
                {
                    incidents.push(reported);
                }
            }
        }
        incidents.dedup();
        let Some(range) = range else {
            bail!("the capture holds no observations");
        };
        Ok(Self { range, incidents })
    }
}

/// When an item was observed; none for items that are not observations.
fn wall(replay: &Replay, item: &Item) -> Option<WallTime> {
    match item {
        Item::Observation(observation) => {
            let header = replay.current()?;
            Some(header.machine.clock.wall(observation.at))
        }
        _ => None,
    }
}

/// Draws until the user quits or a signal arrives. Returns the notes about the capture.
fn show(
    files: Vec<Source>,
    globs: Vec<ServiceGlob>,
    survey: Survey,
    mut screen: Screen,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<NamedNote>> {
    let mut player = Player::open(files, globs, survey)?;
    let mut terminal = Terminal::open(&screen)?;
    player.seek(player.survey.range.0, &mut screen)?;
    let mut then = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let elapsed = then.elapsed();
        then = Instant::now();
        if player.playing {
            player.play(elapsed, &mut screen)?;
            terminal.changed();
        }
        screen.played(player.playback());
        terminal.draw(&mut screen)?;
        let Some(want) = terminal.wait(&mut screen, FRAME)? else {
            continue;
        };
        if want == Want::Quit {
            break;
        }
        player.act(want, &mut screen)?;
        // The time that a seek took must not be played.
        then = Instant::now();
    }
    Ok(player.notes)
}

/// A capture, and the position of playback in it.
struct Player {
    files: Vec<Source>,
    globs: Vec<ServiceGlob>,
    survey: Survey,
    sources: Sources,
    replay: Replay,
    /// An item that was read but lies after the current position.
    waiting: Option<(WallTime, Item)>,
    at: WallTime,
    sampled: WallTime,
    ended: bool,
    playing: bool,
    speed: usize,
    findings: Vec<Finding>,
    notes: Vec<NamedNote>,
}

impl Player {
    fn open(
        files: Vec<Source>,
        globs: Vec<ServiceGlob>,
        survey: Survey,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            sources: Sources::open(&files, false)?,
            files,
            globs,
            at: WallTime(i64::MIN),
            survey,
            replay: Replay::new(),
            waiting: None,
            sampled: WallTime(i64::MIN),
            ended: false,
            playing: true,
            speed: SPEEDS.iter().position(|one| *one >= 1.0).unwrap_or(0),
            findings: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn playback(&self) -> Playback {
        Playback {
            range: self.survey.range,
            at: self.at,
            playing: self.playing,
            speed: self.factor(),
            incidents: self.survey.incidents.clone(),
        }
    }

    fn factor(&self) -> f64 {
        SPEEDS.get(self.speed).copied().unwrap_or(1.0)
    }

    fn act(&mut self, want: Want, screen: &mut Screen) -> anyhow::Result<()> {
        match want {
            Want::Pause if self.ended => {
                self.seek(self.survey.range.0, screen)?;
                self.playing = true;
            }
            Want::Pause => self.playing = !self.playing,
            Want::Seek(seconds) => {
                let by = seconds.saturating_mul(SAMPLE_NS);
                self.seek(WallTime(self.at.0.saturating_add(by)), screen)?;
            }
            Want::PreviousIncident => {
                // Skips the incident that the user has just jumped to.
                let before = WallTime(self.at.0.saturating_sub(SAMPLE_NS));
                let incidents = self.survey.incidents.iter().rev();
                if let Some(at) = incidents.copied().find(|at| *at < before) {
                    self.seek(at, screen)?;
                }
            }
            Want::NextIncident => {
                let mut incidents = self.survey.incidents.iter().copied();
                if let Some(at) = incidents.find(|at| *at > self.at) {
                    self.seek(at, screen)?;
                }
            }
            Want::Faster => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            Want::Slower => self.speed = self.speed.saturating_sub(1),
            Want::Quit | Want::Redraw | Want::Mouse(_) => {}
        }
        Ok(())
    }

    /// Advances by the time that has passed, at the current speed.
    fn play(&mut self, elapsed: Duration, screen: &mut Screen) -> anyhow::Result<()> {
        let by = elapsed.mul_f64(self.factor()).as_nanos();
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.advance(WallTime(self.at.0.saturating_add(by)), SAMPLE_NS, screen)?;
        self.playing &= !self.ended;
        Ok(())
    }

    fn seek(&mut self, to: WallTime, screen: &mut Screen) -> anyhow::Result<()> {
        let (first, last) = self.survey.range;
        let to = to.clamp(first, last);
        if to < self.at {
            self.sources = Sources::open(&self.files, false)?;
            self.replay = Replay::new();
            self.waiting = None;
            self.ended = false;
            self.sampled = WallTime(i64::MIN);
            screen.rewind();
        }
        self.advance(to, FAST_SAMPLE_NS, screen)
    }

    /// Reads and shows everything up to `to`.
    fn advance(&mut self, to: WallTime, sample_ns: i64, screen: &mut Screen) -> anyhow::Result<()> {
        while !self.ended {
            let (at, item) = if let Some((at, item)) = self.waiting.take() {
                (Some(at), item)
            } else if let Some(item) = self.sources.next_item()? {
                (wall(&self.replay, &item), item)
            } else {
                self.ended = true;
                let note = self.replay.finish(&mut self.findings);
                self.show(note, screen);
                break;
            };
            if let Some(at) = at.filter(|at| *at > to) {
                self.waiting = Some((at, item));
                break;
            }
            let notes = self.replay.feed(item, &mut self.findings);
            self.show(notes, screen);
            if let Some(at) = at
                && at.0.saturating_sub(self.sampled.0) >= sample_ns
            {
                self.sample(at, screen);
            }
        }
        self.at = to.min(self.survey.range.1);
        self.sample(self.at, screen);
        Ok(())
    }

    /// Keeps the notes, and shows the findings that were concluded.
    fn show(&mut self, notes: impl IntoIterator<Item = Note>, screen: &mut Screen) {
        for note in notes {
            let note = (self.sources.name().to_owned(), note);
            if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        for mut finding in self.findings.drain(..) {
            if filter::concerns(&self.globs, &finding) {
                filter::retain_services(&self.globs, &mut finding);
                screen.found(&finding);
            }
        }
    }

    /// Shows the services that ran at `at`. Captures don't record how much memory they used.
    fn sample(&mut self, at: WallTime, screen: &mut Screen) {
        self.sampled = at;
        let Some(analysis) = self.replay.analysis() else {
            return;
        };
        let recorder = self.replay.current().map(|header| header.options.own_pid);
        let services = analysis.world().services(recorder.unwrap_or_default());
        let samples: Vec<Sample> = services
            .into_iter()
            .filter(|view| filter::shows(&self.globs, &view.service.name))
            .map(|view| Sample {
                view,
                memory_bytes: None,
            })
            .collect();
        screen.sampled(at, &samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_analysis::Options;
    use tracer_analysis::rules::Rules;
    use tracer_capture::story::{self, seen};
    use tracer_capture::{Recorder, Setup, Target};
    use tracer_model::{Timestamp, What};
    use tracer_present::top::Theme;

    /// A capture in which an observation that is `late_ns` newer precedes the worker's exit.
    fn capture(path: &std::path::Path, late_ns: u64) {
        let setup = Setup::new(Target::File(path.to_owned()), None);
        let rules = Rules::none();
        let machine = story::session();
        let recorder =
            Recorder::start(&setup, &rules, Options::default(), machine, |_| {}).unwrap();
        for observation in story::whole() {
            if let What::Exited(_) = observation.what {
                let Timestamp(at) = observation.at;
                recorder.record(&seen(at + late_ns, What::Tick));
            }
            recorder.record(&observation);
        }
        recorder.finish().unwrap();
    }

    #[test]
    fn an_incident_is_shown_from_its_place_on_the_bar_onwards() {
        for late_ns in [0, 1, 5_000_000, 2_000_000_000] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.capture");
            capture(&path, late_ns);
            let files = [Source::File(path)];
            let survey = Survey::of(&files, &[]).unwrap();
            let [incident] = survey.incidents[..] else {
                panic!("one incident: {:?}", survey.incidents);
            };
            let theme = Theme {
                colour: false,
                unicode: false,
            };
            let mut screen = Screen::new(theme, jiff::tz::TimeZone::UTC);
            let mut player = Player::open(files.to_vec(), Vec::new(), survey).unwrap();
            player.seek(player.survey.range.0, &mut screen).unwrap();
            assert!(!shown(&mut screen).contains("SIGKILL"), "{late_ns}");
            player.act(Want::NextIncident, &mut screen).unwrap();
            assert_eq!(player.at, incident);
            let text = shown(&mut screen);
            assert!(text.contains("1 open"), "{late_ns}: {text}");
            player.seek(WallTime(incident.0 - 1), &mut screen).unwrap();
            assert!(!shown(&mut screen).contains("1 open"), "{late_ns}");
        }
    }

    fn shown(screen: &mut Screen) -> String {
        let area = ratatui::layout::Rect::new(0, 0, 100, 30);
        let mut buffer = ratatui::buffer::Buffer::empty(area);
        screen.draw(&mut buffer);
        buffer
            .content
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect()
    }
}
