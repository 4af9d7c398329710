//! `tracer watch`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tracer_capture::{Setup, Target};
use tracer_model::{Finding, Kind};
use tracer_present::{Sink, TimeZone};

use super::color::ColorChoice;
use super::config::ConfigArgs;
use super::control;
use super::filter::{self, ServiceGlob};
use super::outcome::Outcome;
use super::recording::{self, RotationArgs};
use super::requests::RequestArgs;
use super::runtime::runtime;
use super::stop::{duration, reader_gone, stop_request};
use crate::live::pipeline::Live;
use crate::live::residency;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only findings about services whose names match GLOB (repeatable)
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    service: Vec<ServiceGlob>,

    /// Report every exit, including clean and unimportant ones, and every failed connect
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    requests: RequestArgs,

    /// Stop after this time, for example 90s, 10m or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    /// Exit with 3 if a finding of one of these kinds happened
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1..)]
    fail_on: Vec<Kind>,

    /// Print one JSON object per line and finding (see `tracer schema`)
    #[arg(long)]
    json: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    /// Also record to this file, for `tracer replay`
    #[arg(long, value_name = "FILE", value_parser = recording::file)]
    record: Option<PathBuf>,

    #[command(flatten)]
    rotation: RotationArgs,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rules = args.config.load()?;
    let settings = args.requests.settings(args.all);
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
            live.record(&setup, recording::print_notice)?;
        }
        let recording = args.record.as_ref().map(|path| path.display().to_string());
        let _control = control::listen(&mut live, "watch", recording);
        let result = live.run(stop, &mut emit).await;
        if let Some(path) = &args.record {
            recording::print_summary(&path.display(), live.finish_recording());
        }
        result.context("tracing failed")
    })?;
    Ok(if failed {
        Outcome::FailOn
    } else {
        Outcome::Success
    })
}
