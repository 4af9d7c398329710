//! `tracer demo`: starts the stack of `crate::demo`, watches it break, and checks the findings.

use std::io::{self, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot;
use tracer_analysis::rules::Rules;
use tracer_kernel::settings::Settings;
use tracer_model::{Body, Finding};
use tracer_present::{Sink, TimeZone};

use super::color::ColorChoice;
use super::filter::{self, ServiceGlob};
use super::outcome::Outcome;
use super::runtime::runtime;
use super::stop::stop_request;
use crate::demo::{self, ClientLog, DemoError, ProxyChoice, Stack, expectations};
use crate::live::pipeline::Live;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use the small built-in proxy even if nginx is installed
    #[arg(long)]
    builtin_proxy: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// Time for the last findings to be reported.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let options = demo::Options {
        proxy: if args.builtin_proxy {
            ProxyChoice::BuiltIn
        } else {
            ProxyChoice::Auto
        },
        ..demo::Options::default()
    };
    let stack = Stack::start(&options)?;
    let facts = stack.facts().clone();
    println!(
        "A worker (pid {}, memory limit {}, listening on {}) runs behind {} ({}).\n\
         It now leaks memory until the kernel kills it. Requests fail until it is restarted two \
         seconds later.\n",
        facts.worker_pid,
        tracer_model::quantity::bytes(facts.limit_bytes),
        facts.worker,
        facts.proxy_program,
        facts.proxy,
    );
    let (log, findings) = trace(stack, args.color.enabled())?;

    let steps = expectations::check(&findings, &log, &facts);
    let mut out = io::stdout().lock();
    writeln!(out, "\nWhat happened, and whether the tracer saw it:")?;
    for step in &steps {
        writeln!(out, "  {step}")?;
    }
    let all_seen = steps.iter().all(|step| step.seen);
    Ok(if all_seen {
        Outcome::Success
    } else {
        Outcome::Negative
    })
}

/// Watches while the incident runs on another thread. Returns what the client saw, and the findings.
fn trace(stack: Stack, colour: bool) -> anyhow::Result<(ClientLog, Vec<Finding>)> {
    let rules = Rules::parse(&demo::rules_toml(stack.facts()), "the demo's own rules")?;
    let own: [ServiceGlob; 1] = [demo::WORKER_SERVICE.parse()?];
    let stopper = stack.stopper();
    let (armed, go) = mpsc::channel::<()>();
    let (done, incident) = oneshot::channel();
    let script = thread::spawn(move || incident_script(stack, &go, done));

    let mut sink = Sink::text(io::stdout(), colour, TimeZone::system());
    let mut findings = Vec::new();
    let mut emit = |finding: &Finding| {
        if matches!(finding.body, Body::Start(_)) {
            // Fails only if the script has already failed; its own error is reported below.
            let _ = armed.send(());
        }
        if !filter::concerns(&own, finding) {
            return Ok(());
        }
        findings.push(finding.clone());
        sink.finding(finding)
    };
    let mut log = None;
    let traced = runtime()?.block_on(async {
        let interrupt = stop_request(None)?;
        let mut live = Live::start(rules, &Settings::default())?;
        let stop = async {
            tokio::select! {
                result = incident => {
                    log = result.ok();
                    tokio::time::sleep(SETTLE).await;
                }
                () = interrupt => stopper.stop(),
            }
        };
        live.run(stop, &mut emit).await.context("tracing failed")
    });
    // If the script still waits for the start, this lets it go on and return.
    stopper.stop();
    drop(armed);
    let cleaned_up = script.join();
    traced?;
    cleaned_up.map_err(|_| anyhow!("the demo's script panicked"))?;
    let log = log.unwrap_or(Err(DemoError::Stopped))?;
    Ok((log, findings))
}

/// Waits for the hooks, breaks the stack, sends the result, and waits with the stack's removal until
/// tracing is over.
fn incident_script(
    mut stack: Stack,
    go: &mpsc::Receiver<()>,
    done: oneshot::Sender<Result<ClientLog, DemoError>>,
) {
    if go.recv().is_err() {
        return;
    }
    let result = stack.run_incident();
    // Fails if tracing has already failed: then nobody needs the result.
    let _ = done.send(result);
    // The removal of the stack is not part of the demo.
    let _ = go.recv();
}
