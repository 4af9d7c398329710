//! Which captures a command reads, and what of their findings it takes: FILE…, `--service`,
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
    /// Captures, in any order; the files of a rotation are one stream. `-` is standard input
    #[arg(required = true, value_name = "FILE", value_parser = source)]
    files: Vec<Source>,

    /// Only what concerns services whose names match (may be given several times)
    #[arg(long, value_name = "GLOB")]
    service: Vec<ServiceGlob>,

    /// Only what happened at this time or later: 14:05, '2026-03-01 14:05', RFC 3339, or -10m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,

    /// Only what happened at this time or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<When>,
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("expected a file".to_owned()),
        "-" => Ok(Source::Stdin),
        path => Ok(Source::File(PathBuf::from(path))),
    }
}

/// From when to when.
pub(super) type Window = (WallTime, WallTime);

/// What is read.
pub(super) enum Read<'a> {
    /// A recording begins, on the boot with this id.
    Boot(&'a str),
    /// A finding that was selected.
    Finding(&'a Finding),
    /// Something is missing or damaged: a sentence.
    Missing(&'a str),
}

impl Selection {
    /// Opens the captures; with `follow`, the last one is read until nobody writes it any more.
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

    /// Replays the captures. What is missing is told on standard error, too. When a capture can't be
    /// read to its end, what was read until then is taken first; an error means nothing was read.
    pub(super) fn read(
        &self,
        mut take: impl FnMut(Read<'_>) -> anyhow::Result<()>,
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
                take(Read::Boot(&header.machine.boot_id))?;
            }
            for note in replay.feed(item, &mut findings) {
                missing(sources.name(), &note, &mut take)?;
            }
            for finding in findings.drain(..) {
                empty = false;
                if self.takes(window, &finding) {
                    take(Read::Finding(&finding))?;
                }
            }
        }
        let note = replay.finish(&mut findings);
        for finding in findings.drain(..) {
            if self.takes(window, &finding) {
                take(Read::Finding(&finding))?;
            }
        }
        if let Some(note) = note {
            missing(sources.name(), &note, &mut take)?;
        }
        match failure {
            Some(error) if empty => bail!(error),
            Some(error) => {
                eprintln!("tracer: {error}; told is what was read before");
                take(Read::Missing(&format!(
                    "The rest of the capture could not be read: {error}."
                )))
            }
            None if empty => bail!("{} holds no findings", sources.name()),
            None => Ok(()),
        }
    }

    /// What `--since` and `--until` mean for captures of which the first begins at `begins`.
    pub(super) fn window(&self, begins: WallTime) -> Window {
        let (now, zone) = (jiff::Timestamp::now(), TimeZone::system());
        let resolve = |when: &When| when.resolve(begins, now, &zone);
        (
            self.since.as_ref().map_or(WallTime(i64::MIN), resolve),
            self.until.as_ref().map_or(WallTime(i64::MAX), resolve),
        )
    }

    /// Whether `finding` was selected.
    pub(super) fn takes(&self, window: Option<Window>, finding: &Finding) -> bool {
        // The frame of a recording is taken with whatever is.
        let frame = matches!(finding.body, Body::Start(_) | Body::End(_));
        let outside = window.is_some_and(|(since, until)| finding.at < since || finding.at > until);
        (frame || !outside) && filter::concerns(&self.service, finding)
    }
}

fn missing(
    name: &str,
    note: &Note,
    take: &mut impl FnMut(Read<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    eprintln!("tracer: {name}: {note}");
    take(Read::Missing(&format!("The capture {name}: {note}.")))
}
