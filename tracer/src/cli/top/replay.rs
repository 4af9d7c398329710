//! The screen of a capture: played, paused, gone through in both directions.
//!
//! Going back begins again and goes on fast: what is kept in memory is what a live screen keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;
use tracer_capture::{Item, Note, Replay, Source, SourceError, Sources};
use tracer_model::{Body, Finding, WallTime};
use tracer_present::top::{Playback, Sample, Screen, Want};

use super::FRAME;
use super::terminal::{Terminal, give_back};
use crate::cli::filter::{self, ServiceGlob};
use crate::cli::runtime::runtime;
use crate::cli::stop;

/// Incidents marked on the bar, the first ones.
const MAX_MARKS: usize = 1_000;
/// Remarks about the capture that are kept until the screen is gone.
const MAX_NOTES: usize = 20;
/// How often the services are looked at while it is played, and while it goes on fast.
const SAMPLE_NS: i64 = 1_000_000_000;
const FAST_SAMPLE_NS: i64 = 60 * SAMPLE_NS;
const SPEEDS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 600.0];
/// A terminal that takes nothing more is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(files: &[Source], globs: &[ServiceGlob], screen: Screen) -> anyhow::Result<()> {
    // Before the terminal is taken over: what can't be read is said on it as it is.
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
                // Nobody waits any more when the program has ended first.
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
            give_back();
            Ok(Vec::new())
        }
    })?;
    for (name, note) in notes {
        eprintln!("tracer: {name}: {note}");
    }
    Ok(())
}

/// What there is to say about a source.
type Remark = (String, Note);

/// What a capture holds, by reading it once.
struct Survey {
    range: (WallTime, WallTime),
    /// How far to go on for each of them to be told. Not when it began: what was observed is not
    /// always in order of time, and what is told of an incident may follow from what came later.
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
                    && incidents.len() < MAX_MARKS
                    && let Some((_, told)) = range
                {
                    incidents.push(told);
                }
            }
        }
        incidents.dedup();
        let Some(range) = range else {
            bail!("there is nothing in the capture");
        };
        Ok(Self { range, incidents })
    }
}

/// When an item was observed; none when it is no observation that something happened.
fn wall(replay: &Replay, item: &Item) -> Option<WallTime> {
    match item {
        Item::Observation(observation) => {
            let header = replay.current()?;
            Some(header.machine.clock.wall(observation.at))
        }
        _ => None,
    }
}

/// Draws until the user or a signal wants to end; gives what there is to say about the capture.
fn show(
    files: Vec<Source>,
    globs: Vec<ServiceGlob>,
    survey: Survey,
    mut screen: Screen,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<Remark>> {
    let mut player = Player::open(files, globs, survey)?;
    let mut terminal = Terminal::take(&screen)?;
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
        // Going there took time that is not to be played.
        then = Instant::now();
    }
    Ok(player.notes)
}

/// A capture, somewhere in it.
struct Player {
    files: Vec<Source>,
    globs: Vec<ServiceGlob>,
    survey: Survey,
    sources: Sources,
    replay: Replay,
    /// Read, but not yet its time.
    waiting: Option<(WallTime, Item)>,
    at: WallTime,
    sampled: WallTime,
    ended: bool,
    playing: bool,
    speed: usize,
    findings: Vec<Finding>,
    notes: Vec<Remark>,
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
                // One that has just begun is where one came from.
                let before = WallTime(self.at.0.saturating_sub(SAMPLE_NS));
                let marks = self.survey.incidents.iter().rev();
                if let Some(mark) = marks.copied().find(|mark| *mark < before) {
                    self.seek(mark, screen)?;
                }
            }
            Want::NextIncident => {
                let mut marks = self.survey.incidents.iter().copied();
                if let Some(mark) = marks.find(|mark| *mark > self.at) {
                    self.seek(mark, screen)?;
                }
            }
            Want::Faster => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            Want::Slower => self.speed = self.speed.saturating_sub(1),
            Want::Quit | Want::Redraw | Want::Mouse(_) => {}
        }
        Ok(())
    }

    /// Time passes.
    fn play(&mut self, elapsed: Duration, screen: &mut Screen) -> anyhow::Result<()> {
        let by = elapsed.mul_f64(self.factor()).as_nanos();
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.go_on(WallTime(self.at.0.saturating_add(by)), SAMPLE_NS, screen)?;
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
        self.go_on(to, FAST_SAMPLE_NS, screen)
    }

    /// Shows all that happened up to then.
    fn go_on(&mut self, to: WallTime, sample_ns: i64, screen: &mut Screen) -> anyhow::Result<()> {
        while !self.ended {
            let (at, item) = if let Some((at, item)) = self.waiting.take() {
                (Some(at), item)
            } else if let Some(item) = self.sources.next_item()? {
                (wall(&self.replay, &item), item)
            } else {
                self.ended = true;
                let note = self.replay.finish(&mut self.findings);
                self.tell(note, screen);
                break;
            };
            if let Some(at) = at.filter(|at| *at > to) {
                self.waiting = Some((at, item));
                break;
            }
            let notes = self.replay.feed(item, &mut self.findings);
            self.tell(notes, screen);
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

    fn tell(&mut self, notes: impl IntoIterator<Item = Note>, screen: &mut Screen) {
        for note in notes {
            let remark = (self.sources.name().to_owned(), note);
            if self.notes.len() < MAX_NOTES && !self.notes.contains(&remark) {
                self.notes.push(remark);
            }
        }
        for mut finding in self.findings.drain(..) {
            if filter::concerns(&self.globs, &finding) {
                super::only(&self.globs, &mut finding);
                screen.found(&finding);
            }
        }
    }

    /// What runs then. How much memory it used is not part of a capture.
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

    /// A capture of the worker's end in which something newer was observed before it.
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
    fn at_an_incidents_mark_it_is_told_and_before_it_is_not() {
        for late_ns in [0, 1, 5_000_000, 2_000_000_000] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.capture");
            capture(&path, late_ns);
            let files = [Source::File(path)];
            let survey = Survey::of(&files, &[]).unwrap();
            let [mark] = survey.incidents[..] else {
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
            assert_eq!(player.at, mark);
            let told = shown(&mut screen);
            assert!(told.contains("1 open"), "{late_ns}: {told}");
            player.seek(WallTime(mark.0 - 1), &mut screen).unwrap();
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
