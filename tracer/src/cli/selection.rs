//! Which captures a command reads, and which of their findings it selects: FILE…, `--service`,
//! `--since`, `--until`. Shared by `replay`, `report` and `export`.

use std::path::PathBuf;

use anyhow::bail;
use jiff::tz::TimeZone;
use tracer_capture::{Item, Note, Replay, Source, SourceError, Sources};
use tracer_model::{Body, Finding, WallTime};

use super::filter::{self, ServiceGlob};
use super::window::When;

#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Captures, in any order; the files of a rotation are one recording. `-` is standard input
    #[arg(required = true, value_name = "FILE", value_parser = source)]
    files: Vec<Source>,

    /// Only findings about services whose names match GLOB (repeatable)
    #[arg(long, value_name = "GLOB")]
    service: Vec<ServiceGlob>,

    /// Only findings from this time on: 14:05, '2026-03-01 14:05', RFC 3339, or -10m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,

    /// Only findings up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<When>,
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("expected a file name".to_owned()),
        "-" => Ok(Source::Stdin),
        path => Ok(Source::File(PathBuf::from(path))),
    }
}

/// The first and the last selected time.
pub(super) type Window = (WallTime, WallTime);

/// Something read from the captures.
pub(super) enum Read<'a> {
    /// A recording begins, made during the boot with this id.
    Boot(&'a str),
    /// A selected finding.
    Finding(&'a Finding),
    /// Something is missing or damaged, as a sentence.
    Missing(&'a str),
}

impl Selection {
    /// Opens the captures. With `follow`, the last one is read until its recorder stops.
    pub(super) fn open(&self, follow: bool) -> Result<Sources, SourceError> {
        Sources::open(&self.files, follow)
    }

    /// Whether `path` is one of the captures.
    pub(super) fn reads(&self, path: &std::path::Path) -> bool {
        let same = |capture: &PathBuf| match (capture.canonicalize(), path.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        };
        self.files
            .iter()
            .any(|file| matches!(file, Source::File(capture) if same(capture)))
    }

    /// Replays the captures, and passes what was read to `accept`. Missing parts are also reported on
    /// standard error. When a capture can't be read to its end, everything before that is still
    /// accepted; an error means that nothing was read.
    pub(super) fn read(
        &self,
        mut accept: impl FnMut(Read<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut sources = self.open(false)?;
        let mut replay = Replay::new();
        let mut window = None;
        let mut findings = Vec::new();
        let mut empty = true;
        let mut failure = None;
        loop {
            let item = match sources.next_item() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            if let Item::Header(header) = &item {
                window.get_or_insert_with(|| self.window(header.machine.clock.wall));
                accept(Read::Boot(&header.machine.boot_id))?;
            }
            for note in replay.feed(item, &mut findings) {
                missing(sources.name(), &note, &mut accept)?;
            }
            for finding in findings.drain(..) {
                empty = false;
                if self.includes(window, &finding) {
                    accept(Read::Finding(&finding))?;
                }
            }
        }
        let note = replay.finish(&mut findings);
        for finding in findings.drain(..) {
            if self.includes(window, &finding) {
                accept(Read::Finding(&finding))?;
            }
        }
        if let Some(note) = note {
            missing(sources.name(), &note, &mut accept)?;
        }
        match failure {
            Some(error) if empty => bail!(error),
            Some(error) => {
                eprintln!("tracer: {error}; using what was read before that");
                accept(Read::Missing(&format!(
                    "The rest of the capture could not be read: {error}."
                )))
            }
            None if empty => bail!("{} holds no findings", sources.name()),
            None => Ok(()),
        }
    }

    /// What `--since` and `--until` mean when the first capture begins at `begins`.
    pub(super) fn window(&self, begins: WallTime) -> Window {
        let (now, zone) = (jiff::Timestamp::now(), TimeZone::system());
        let resolve = |when: &When| when.resolve(begins, now, &zone);
        (
            self.since.as_ref().map_or(WallTime(i64::MIN), resolve),
            self.until.as_ref().map_or(WallTime(i64::MAX), resolve),
        )
    }

    /// Whether `finding` is selected.
    pub(super) fn includes(&self, window: Option<Window>, finding: &Finding) -> bool {
        // The start and the end of a recording frame whatever else is selected.
        let frame = matches!(finding.body, Body::Start(_) | Body::End(_));
        let outside = window.is_some_and(|(since, until)| finding.at < since || finding.at > until);
        (frame || !outside) && filter::concerns(&self.service, finding)
    }
}

fn missing(
    name: &str,
    note: &Note,
    accept: &mut impl FnMut(Read<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    eprintln!("tracer: {name}: {note}");
    accept(Read::Missing(&format!("The capture {name}: {note}.")))
}
