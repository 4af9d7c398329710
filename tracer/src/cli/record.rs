//! `tracer record`: a flight recorder.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tracer_capture::{Setup, Target};
use tracer_model::Body;

use super::config::ConfigArgs;
use super::control;
use super::outcome::Outcome;
use super::recording::{self, RotationArgs};
use super::requests::RequestArgs;
use super::runtime::runtime;
use super::stop::{duration, reader_gone, stop_request};
use crate::live::pipeline::Live;
use crate::live::residency;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Record to FILE, or append to it if it is a capture. `-` is standard output, for streaming to
    /// another machine
    #[arg(short, long, value_name = "FILE", value_parser = target)]
    output: Target,

    #[command(flatten)]
    rotation: RotationArgs,

    /// Have replays report every exit, including clean and unimportant ones, and every failed connect
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    requests: RequestArgs,

    /// Stop after this time, for example 90s, 10m or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    #[command(flatten)]
    config: ConfigArgs,
}

fn target(text: &str) -> Result<Target, String> {
    match text {
        "" => Err("expected a file name".to_owned()),
        "-" => Ok(Target::Stdout),
        path => Ok(Target::File(PathBuf::from(path))),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rules = args.config.load()?;
    let settings = args.requests.settings(args.all);
    let to = &args.output;
    let streams = *to == Target::Stdout;
    let mut incidents = 0;
    let summary = runtime()?.block_on(async {
        let asked = stop_request(args.time)?;
        let stop = async {
            tokio::select! {
                () = asked => {}
                () = reader_gone(), if streams => {}
            }
        };
        residency::stand_last();
        let mut live = Live::start(rules, &settings)?;
        let setup = Setup::new(to.clone(), args.rotation.rotation());
        live.record(&setup, recording::print_notice)?;
        let _control = control::listen(&mut live, "record", Some(to.to_string()));
        let mut emit = |finding: &tracer_model::Finding| {
            match &finding.body {
                Body::Start(_) => eprintln!("tracer: recording to {to}"),
                Body::End(end) => incidents = end.incidents,
                _ => {}
            }
            Ok(())
        };
        let result = live.run(stop, &mut emit).await;
        let summary = live.finish_recording();
        result.context("tracing failed")?;
        anyhow::Ok(summary)
    })?;
    recording::print_summary(to, summary);
    if incidents > 0 && !streams {
        eprintln!("tracer: incidents: {incidents}; to see them, run: tracer replay {to}");
    }
    Ok(Outcome::Success)
}
