//! `tracer watch`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tracer_capture::{Setup, Target};
use tracer_kernel::settings::{HttpMode, Settings};
use tracer_model::{Finding, Kind};
use tracer_present::{Sink, TimeZone};

use super::config::ConfigArgs;
use super::control;
use super::filter::{self, ServiceGlob};
use super::recording::{self, RotationArgs};
use super::{ColorChoice, Outcome, runtime};
use crate::live::pipeline::Live;
use crate::live::residency;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only what concerns services whose names match (may be given several times)
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    service: Vec<ServiceGlob>,

    /// Report every exit, clean and unimportant ones too
    #[arg(long)]
    all: bool,

    /// Whose HTTP requests to follow: everybody's, those at proxies, or nobody's
    #[arg(long, value_name = "WHOSE", default_value = "proxies")]
    http: HttpMode,

    /// Show query strings of requests, which may hold secrets
    #[arg(long)]
    show_query: bool,

    /// Stop after this long: 90s, 10m, 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    /// Exit with 3 if a finding of one of these kinds happened
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1..)]
    fail_on: Vec<Kind>,

    /// One JSON object per finding and line (see `tracer schema`)
    #[arg(long)]
    json: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    /// Record to this file as well, for `tracer replay`
    #[arg(long, value_name = "FILE", value_parser = recording::file)]
    record: Option<PathBuf>,

    #[command(flatten)]
    rotation: RotationArgs,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rules = args.config.load()?;
    let settings = Settings {
        all: args.all,
        http: args.http,
        show_query: args.show_query,
    };
    let mut sink = if args.json {
        Sink::json(io::stdout())
    } else {
        Sink::text(io::stdout(), args.color.enabled(), TimeZone::system())
    };
    let mut failed = false;
    let mut emit = |finding: &Finding| {
        if !filter::concerns(&args.service, finding) {
            return Ok(());
        }
        failed |= filter::fails(&args.fail_on, finding);
        sink.finding(finding)
    };
    runtime()?.block_on(async {
        let asked = stop_request(args.time)?;
        let stop = async {
            tokio::select! {
                () = asked => {}
                () = reader_gone() => {}
            }
        };
        residency::stand_last();
        let mut live = Live::start(rules, &settings)?;
        if let Some(path) = &args.record {
            let setup = Setup::new(Target::File(path.clone()), args.rotation.rotation());
            live.record(&setup, recording::tell)?;
        }
        let recording = args.record.as_ref().map(|path| path.display().to_string());
        let _control = control::listen(&mut live, "watch", recording);
        let result = live.run(stop, &mut emit).await;
        if let Some(path) = &args.record {
            recording::tell_summary(&path.display(), live.finish_recording());
        }
        result.context("the trace ended early")
    })?;
    Ok(if failed {
        Outcome::FailOn
    } else {
        Outcome::Success
    })
}

/// Resolves when nobody can read standard output any more: on a quiet machine it may be long until
/// the next finding would show it.
pub(super) async fn reader_gone() {
    // Only pipes, sockets and terminals can be waited for: a file has no reader.
    // SAFETY: standard output keeps its descriptor as long as the process lives.
    let stdout = unsafe { AsyncFd::register_with_interest(io::stdout(), Interest::ERROR) };
    match stdout {
        Ok(stdout) => {
            // Whether it was closed or can't be waited for after all: there is no reader.
            let _ = stdout.ready(Interest::ERROR).await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// Resolves on SIGINT, SIGTERM or SIGHUP, or after `time`.
pub(super) fn stop_request(time: Option<Duration>) -> anyhow::Result<impl Future<Output = ()>> {
    let catch = |kind| signal(kind).context("cannot catch signals");
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        let timer = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = timer => {}
        }
    })
}

/// A duration as users write it: `1.5s`, `10m`, `2h30m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write 90s, 10m, 2h or 1h30m");
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => jiff::SignedDuration::from_secs(seconds.into()),
        Err(_) => text.parse().map_err(|_| wrong())?,
    };
    Duration::try_from(parsed).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_users_write_them() {
        for (text, want_ms) in [
            ("90s", 90_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("45", 45_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(want_ms)), "{text}");
        }
        for text in ["", "soon", "5 parsecs", "-1s", "1..2s", "s", "1e400s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
