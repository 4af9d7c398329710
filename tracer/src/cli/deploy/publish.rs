//! Publishes the verdict: on standard error, in the report's file, and to the CI service.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use tracer_present::deploy::model::Verdict;
use tracer_present::deploy::{self, ci};
use tracer_present::report::{self, Composer, Format, Options, Report};

use super::args::Args;
use crate::cli::color::ColorChoice;
use crate::cli::output::Output;

/// GitHub accepts at most 1 MiB as the summary of a step.
const MAX_SUMMARY: usize = 1_000_000;

/// Writes the verdict to all its places. A place that can't be written to does not affect the others.
pub(super) fn publish(args: &Args, verdict: Verdict, composer: Composer) -> anyhow::Result<()> {
    let mut report = composer.finish();
    to_terminal(args.color, &verdict);
    let annotations = ci::github_annotations(&verdict);
    report.deployment = Some(Box::new(verdict));
    let summary = if env_is("GITHUB_ACTIONS", "true") {
        let mut err = io::stderr().lock();
        for line in annotations {
            // Nobody may be reading standard error any more.
            let _ = writeln!(err, "{line}");
        }
        github_summary(&report)
    } else {
        Ok(())
    };
    if let Some(file) = &args.report {
        let failed = || format!("cannot write {}", file.path.display());
        let mut out = Output::open(Some(&file.path))?;
        write(&report, file.format, &mut out).with_context(failed)?;
        let out = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .with_context(failed)?;
        out.commit()?;
    }
    summary
}

fn to_terminal(choice: ColorChoice, verdict: &Verdict) {
    let colour = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            use anstream::ColorChoice as Choice;
            !matches!(anstream::AutoStream::choice(&io::stderr()), Choice::Never)
        }
    };
    let text = deploy::text(verdict, colour);
    let mut err = io::stderr().lock();
    // If nobody reads standard error any more, the exit code still says it.
    let _ = if env_is("GITLAB_CI", "true") {
        let now = jiff::Timestamp::now().as_second();
        let (begin, end) = ci::gitlab_section(now);
        writeln!(err, "{begin}\n{text}{end}")
    } else {
        write!(err, "{text}")
    };
}

/// Appends the report to the step's summary, if GitHub provides a file for it.
fn github_summary(report: &Report) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut text = Vec::new();
    write(report, Format::Md, &mut text)?;
    if text.len() > MAX_SUMMARY {
        // The verdict comes first, so the end can be dropped.
        let cut = String::from_utf8_lossy(&text).into_owned();
        let end = cut.floor_char_boundary(MAX_SUMMARY);
        let end = cut[..end].rfind('\n').map_or(end, |line| line + 1);
        text = format!("{}\n…\n", &cut[..end]).into_bytes();
    }
    let failed = || format!("cannot write the summary to {}", Path::new(&path).display());
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(failed)?;
    file.write_all(&text).with_context(failed)
}

fn write(report: &Report, format: Format, out: &mut impl Write) -> io::Result<()> {
    let options = Options {
        format,
        colour: false,
        zone: TimeZone::system(),
    };
    report::write(report, &options, out)
}

fn env_is(name: &str, value: &str) -> bool {
    std::env::var_os(name).is_some_and(|found| found == value)
}
