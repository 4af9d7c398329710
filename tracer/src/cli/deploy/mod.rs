//! `tracer deploy`: runs a deployment's command and watches what it does to the services.
//!
//! Nothing of the tracer's is on the terminal while the command runs. What is concluded is in
//! `tracer_present::deploy`; `command` runs it, `say` tells the verdict.

mod command;
mod say;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use tracer_analysis::Analysis;
use tracer_capture::{Notice, Setup, Target};
use tracer_kernel::settings::{HttpMode, Settings};
use tracer_model::{Body, Finding, Kind, Timestamp};
use tracer_observe::{clock, usage};
use tracer_present::deploy::Deployment;
use tracer_present::deploy::model::{CommandExit, FAIL_ON, Memory};
use tracer_present::report::Composer;

use self::command::{Signals, Started};
use super::color::ColorChoice;
use super::config::ConfigArgs;
use super::control;
use super::filter::{self, ServiceGlob};
use super::outcome::Outcome;
use super::recording::{self, RotationArgs};
use super::runtime::runtime;
use super::stop::duration;
use crate::control::{Asked, Request};
use crate::live::pipeline::Live;
use crate::live::residency;

/// How often it is looked who runs, and how much memory they have.
const SAMPLE: Duration = Duration::from_millis(500);
/// How much of what is to be said about the recording waits for the command's end.
const MAX_NOTICES: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Watch for so long after the command's end: by then every service that it touched must listen
    /// again
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    grace: Duration,

    /// Exit with 3 if a finding of one of these kinds happened [default: death, listener_down,
    /// request_failed]; deaths that the deployment asked for, and listeners that are back, are none
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    fail_on: Vec<Kind>,

    /// Record to this file as well, for `tracer replay`
    #[arg(long, value_name = "FILE", value_parser = recording::file)]
    record: Option<PathBuf>,

    #[command(flatten)]
    rotation: RotationArgs,

    /// Judge only what concerns services whose names match (may be given several times)
    #[arg(long, value_name = "GLOB")]
    service: Vec<ServiceGlob>,

    /// Write the deployment's record to this file: FILE.html, FILE.md or FILE.json
    #[arg(long, value_name = "FILE", value_parser = say::report_file)]
    report: Option<PathBuf>,

    /// Whose HTTP requests to follow: everybody's, those at proxies, or nobody's
    #[arg(long, value_name = "WHOSE", default_value = "proxies")]
    http: HttpMode,

    /// Show query strings of requests, which may hold secrets
    #[arg(long)]
    show_query: bool,

    /// Colour the verdict
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    #[command(flatten)]
    config: ConfigArgs,

    /// The deployment's command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Args {
    fn settings(&self) -> Settings {
        Settings {
            all: false,
            http: self.http,
            show_query: self.show_query,
        }
    }
}

/// What the stages of a deployment share; one thread has all of it.
type Shared<T> = Rc<RefCell<T>>;

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rules = args.config.load()?;
    let settings = args.settings();
    // Before any other thread is there: they are not to take signals either.
    let signals = Signals::take().context("cannot catch signals")?;
    let words: Vec<_> = args
        .command
        .iter()
        .map(|arg| arg.to_string_lossy())
        .collect();
    let deployment = Deployment::new(words.iter().map(|word| &**word));
    let deployment: Shared<Deployment> = Rc::new(RefCell::new(deployment));
    let builder: Shared<Composer> = Rc::new(RefCell::new(Composer::new()));
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let ran = runtime()?.block_on(async {
        let mut signals = signals.listen().context("cannot wait for signals")?;
        residency::stand_last();
        let mut live = Live::start(rules, &settings)?;
        if let Some(path) = &args.record {
            let setup = Setup::new(Target::File(path.clone()), args.rotation.rotation());
            live.record(&setup, keep(Arc::clone(&notices)))?;
        }
        let recording = args.record.as_ref().map(|path| path.display().to_string());
        let _control = control::listen(&mut live, "deploy", recording);
        let marks = live.requests();
        let seen = Rc::clone(&deployment);
        live.tap(move |observation| seen.borrow_mut().observe(observation));
        live.look_every(SAMPLE, look(Rc::clone(&deployment)));

        let (armed, ready) = oneshot::channel();
        let armed = Rc::new(RefCell::new(Some(armed)));
        let (enough, over) = oneshot::channel::<()>();
        let mut emit = {
            let (armed, deployment, builder) = (
                Rc::clone(&armed),
                Rc::clone(&deployment),
                Rc::clone(&builder),
            );
            move |finding: &Finding| {
                if filter::concerns(&args.service, finding) {
                    deployment.borrow_mut().finding(finding);
                    builder.borrow_mut().finding(finding);
                }
                if matches!(finding.body, Body::Start(_))
                    && let Some(armed) = armed.borrow_mut().take()
                {
                    let _ = armed.send(());
                }
                Ok(())
            }
        };
        let trace = async {
            let stop = async {
                let _ = over.await;
            };
            let result = live.run(stop, &mut emit).await;
            // Should it never have begun, nobody is to wait for that.
            drop(armed.borrow_mut().take());
            result
        };
        let command = async {
            // An error: the trace could not begin, and says why.
            if ready.await.is_err() {
                return Ok(None);
            }
            let ran = guard(args, &mut signals, &deployment, marks).await;
            let _ = enough.send(());
            ran.map(Some)
        };
        let (traced, ran) = tokio::join!(trace, command);
        if let Some(path) = &args.record {
            let summary = live.finish_recording();
            for notice in notices
                .lock()
                .map(|mut all| std::mem::take(&mut *all))
                .unwrap_or_default()
            {
                recording::tell(notice);
            }
            recording::tell_summary(&path.display(), summary);
        }
        outcome(traced, ran)
    })?;
    match ran {
        None => anyhow::bail!("the trace did not begin; the command was not run"),
        Some(Ran::NotStarted(code) | Ran::Unseen(code)) => Ok(Outcome::Deployment(code)),
        Some(Ran::Ended(_, until)) => {
            let fail_on = match &args.fail_on[..] {
                [] => &FAIL_ON[..],
                chosen => chosen,
            };
            let verdict = deployment.borrow().verdict(fail_on, until);
            let code = verdict.exit_code();
            let report = std::mem::take(&mut *builder.borrow_mut());
            say::tell(args, verdict, report)?;
            Ok(Outcome::Deployment(code))
        }
    }
}

/// What the command came to, when the trace came to this.
fn outcome(
    traced: io::Result<()>,
    ran: anyhow::Result<Option<Ran>>,
) -> anyhow::Result<Option<Ran>> {
    match (traced, ran) {
        (Ok(()), ran) => ran,
        (Err(error), Ok(Some(Ran::Ended(end, _)))) if end.code() != 0 => {
            eprintln!("tracer: the trace ended early: {error}");
            Ok(Some(Ran::Unseen(end.code())))
        }
        (Err(error), _) => Err(error).context("the trace ended early: there is no verdict"),
    }
}

/// What came of the command.
#[derive(Debug)]
enum Ran {
    /// It ended, and was watched until then.
    Ended(CommandExit, Timestamp),
    /// It could not be started; the exit code that tells so.
    NotStarted(u8),
    /// It failed with this code, and the trace too.
    Unseen(u8),
}

/// Runs the command, and waits until the grace is over.
async fn guard(
    args: &Args,
    signals: &mut Signals,
    deployment: &Shared<Deployment>,
    marks: Option<mpsc::Sender<Asked>>,
) -> anyhow::Result<Ran> {
    let mark = |text: String| {
        if let Some(marks) = &marks {
            let (answer, _) = oneshot::channel();
            // Marks are not worth waiting for.
            let _ = marks.try_send(Asked {
                request: Request::Mark { label: text },
                answer,
            });
        }
    };
    if let Some(signal) = signals.pending() {
        eprintln!("tracer: interrupted; the command was not run");
        return Ok(Ran::NotStarted(128_u8.saturating_add(signal)));
    }
    let shown = deployment.borrow().command().to_owned();
    mark(format!("deploy begins: {shown}"));
    let mut running = match command::start(&args.command, signals) {
        Started::Running(running) => running,
        Started::Not(error, code) => {
            eprintln!("tracer: cannot run {shown}: {error}");
            return Ok(Ran::NotStarted(code));
        }
    };
    deployment
        .borrow_mut()
        .command_started(running.pid(), clock::now());
    let end = running
        .wait(signals, |pid| deployment.borrow().runs(pid))
        .await
        .context("cannot wait for the command")?;
    deployment.borrow_mut().command_exited(end, clock::now());
    mark(match end {
        CommandExit::ExitCode(code) => format!("deploy's command ended with {code}"),
        CommandExit::Signal(signal) => format!("deploy's command was ended by signal {signal}"),
    });
    // Who interrupted it does not want to wait.
    if end.code() == 0 || !running.interrupted() {
        tokio::select! {
            () = tokio::time::sleep(args.grace) => {}
            _ = signals.next() => {}
        }
    }
    Ok(Ran::Ended(end, clock::now()))
}

/// What the recorder says is kept until the command has ended.
fn keep(notices: Arc<Mutex<Vec<Notice>>>) -> impl FnMut(Notice) + Send + 'static {
    move |notice| {
        if let Ok(mut notices) = notices.lock()
            && notices.len() < MAX_NOTICES
        {
            notices.push(notice);
        }
    }
}

/// Looks who runs, and how much memory new processes have.
fn look(deployment: Shared<Deployment>) -> impl FnMut(&Analysis, Timestamp) + 'static {
    move |analysis, _| {
        let mut deployment = deployment.borrow_mut();
        let views = analysis.world().services(std::process::id());
        let world = analysis.world();
        if let Some(own) = world.processes.by_pid(std::process::id()) {
            deployment.belongs_to(&own.attribution.service);
        }
        deployment.running(&views);
        for view in &views {
            let pids: Vec<_> = deployment.new_processes(view).collect();
            for pid in pids {
                if let Some(peak_bytes) = usage::peak_bytes(pid) {
                    let limit_bytes = view.limit_bytes;
                    deployment.memory(
                        &view.service,
                        Memory {
                            pid,
                            peak_bytes,
                            limit_bytes,
                        },
                    );
                }
            }
        }
    }
}
