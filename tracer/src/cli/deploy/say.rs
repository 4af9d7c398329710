//! The verdict, told: on standard error, in the report's file, and to the CI service that runs it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use tracer_present::deploy::model::Verdict;
use tracer_present::deploy::{self, ci};
use tracer_present::report::{self, Composer, Format, Options, Report};

use super::Args;
use crate::cli::color::ColorChoice;
use crate::cli::output::Output;

/// GitHub takes no larger summary of a step: 1 MiB.
const MAX_SUMMARY: usize = 1_000_000;

/// `--report FILE`: its name tells its form.
pub(super) fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match format(&path) {
        Some(_) => Ok(path),
        None => Err(format!("`{text}` does not end in .html, .md or .json")),
    }
}

fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "html" | "htm" => Some(Format::Html),
        "md" => Some(Format::Md),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// Tells it everywhere. A place that can't be written to does not keep it from the others.
pub(super) fn tell(args: &Args, verdict: Verdict, builder: Composer) -> anyhow::Result<()> {
    let mut report = builder.finish();
    to_terminal(args.color, &verdict);
    let annotations = ci::github_annotations(&verdict);
    report.deployment = Some(Box::new(verdict));
    let summary = if env_is("GITHUB_ACTIONS", "true") {
        let mut err = io::stderr().lock();
        for line in annotations {
            // Who reads it may be gone.
            let _ = writeln!(err, "{line}");
        }
        github_summary(&report)
    } else {
        Ok(())
    };
    if let Some(path) = &args.report {
        let mut out = Output::open(Some(path))?;
        write(&report, format(path).unwrap_or(Format::Json), &mut out)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let out = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .with_context(|| format!("cannot write {}", path.display()))?;
        out.keep()?;
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
    // Who reads it may be gone; the exit code is left.
    let _ = if env_is("GITLAB_CI", "true") {
        let now = jiff::Timestamp::now().as_second();
        let (begin, end) = ci::gitlab_section(now);
        writeln!(err, "{begin}\n{text}{end}")
    } else {
        write!(err, "{text}")
    };
}

/// Adds the report to the summary of the step, where GitHub wants one.
fn github_summary(report: &Report) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut text = Vec::new();
    write(report, Format::Md, &mut text)?;
    if text.len() > MAX_SUMMARY {
        // The verdict is at its beginning.
        let cut = String::from_utf8_lossy(&text).into_owned();
        let end = cut.floor_char_boundary(MAX_SUMMARY);
        let end = cut[..end].rfind('\n').map_or(end, |line| line + 1);
        text = format!("{}\n…\n", &cut[..end]).into_bytes();
    }
    let shown = || format!("cannot write the summary to {}", Path::new(&path).display());
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(shown)?;
    file.write_all(&text).with_context(shown)
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
