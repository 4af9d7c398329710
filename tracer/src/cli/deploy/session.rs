//! A deployment while it happens: the trace of the machine, and the command that runs meanwhile.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use tracer_analysis::Analysis;
use tracer_analysis::rules::Rules;
use tracer_capture::{Notice, Setup, Target};
use tracer_model::{Body, Finding, Timestamp};
use tracer_observe::{clock, usage};
use tracer_present::deploy::Deployment;
use tracer_present::deploy::model::{CommandExit, Memory};
use tracer_present::report::Composer;

use super::args::Args;
use super::command::{self, Signals, Started};
use crate::cli::control;
use crate::cli::filter;
use crate::cli::recording;
use crate::control::{Asked, Request};
use crate::live::pipeline::Live;
use crate::live::residency;

/// How often the services and their memory are sampled.
const SAMPLE: Duration = Duration::from_millis(500);
/// How many notices about the recording are kept until the command has finished.
const MAX_NOTICES: usize = 16;

/// Shared by the stages of a deployment, which all run on one thread.
type Shared<T> = Rc<RefCell<T>>;

/// What became of the command.
#[derive(Debug)]
pub(super) enum Ran {
    /// It finished, and was traced until this time.
    Finished(CommandExit, Timestamp),
    /// It could not be started; the exit code to report that with.
    NotStarted(u8),
    /// It failed with this exit code, and the trace failed too.
    Untraced(u8),
}

/// A deployment, and everything collected about it.
pub(super) struct Session<'a> {
    args: &'a Args,
    deployment: Shared<Deployment>,
    report: RefCell<Composer>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(args: &'a Args) -> Self {
        let words: Vec<_> = args
            .command
            .iter()
            .map(|arg| arg.to_string_lossy())
            .collect();
        let deployment = Deployment::new(words.iter().map(|word| &**word));
        Self {
            args,
            deployment: Rc::new(RefCell::new(deployment)),
            report: RefCell::new(Composer::new()),
            notices: Arc::default(),
        }
    }

    /// What was collected.
    pub(super) fn into_parts(self) -> (Shared<Deployment>, Composer) {
        (self.deployment, self.report.into_inner())
    }

    /// Traces the machine, and runs the command once the hooks are armed. None means that tracing
    /// never began.
    pub(super) async fn run(&self, rules: Rules, signals: Signals) -> anyhow::Result<Option<Ran>> {
        let mut signals = signals.listen().context("cannot wait for signals")?;
        residency::stand_last();
        let mut live = self.start(rules)?;
        let recording = self.args.record.as_ref();
        let recording = recording.map(|path| path.display().to_string());
        let _control = control::listen(&mut live, "deploy", recording);
        let marks = live.requests();

        let (armed, ready) = oneshot::channel();
        let mut armed = Some(armed);
        let (done, command_done) = oneshot::channel::<()>();
        let trace = async {
            let mut emit = |finding: &Finding| {
                self.collect(finding);
                if matches!(finding.body, Body::Start(_))
                    && let Some(armed) = armed.take()
                {
                    let _ = armed.send(());
                }
                Ok(())
            };
            let stop = async {
                let _ = command_done.await;
            };
            let result = live.run(stop, &mut emit).await;
            // If tracing never began, this stops the other side from waiting for it.
            drop(armed.take());
            result
        };
        let command = async {
            // Fails if tracing could not begin; its result says why.
            if ready.await.is_err() {
                return Ok(None);
            }
            let ran = self.run_command(&mut signals, marks).await;
            let _ = done.send(());
            ran.map(Some)
        };
        let (traced, ran) = tokio::join!(trace, command);
        self.finish_recording(&mut live);
        outcome(traced, ran)
    }

    /// Starts tracing and, if requested, recording.
    fn start(&self, rules: Rules) -> anyhow::Result<Live> {
        let mut live = Live::start(rules, &self.args.requests.settings(false))?;
        if let Some(path) = &self.args.record {
            let setup = Setup::new(Target::File(path.clone()), self.args.rotation.rotation());
            live.record(&setup, keep(Arc::clone(&self.notices)))?;
        }
        let deployment = Rc::clone(&self.deployment);
        live.tap(move |observation| deployment.borrow_mut().observe(observation));
        live.look_every(SAMPLE, sample(Rc::clone(&self.deployment)));
        Ok(live)
    }

    fn collect(&self, finding: &Finding) {
        if filter::concerns(&self.args.service, finding) {
            self.deployment.borrow_mut().finding(finding);
            self.report.borrow_mut().finding(finding);
        }
    }

    /// Runs the command, then waits for the grace period.
    async fn run_command(
        &self,
        signals: &mut Signals,
        marks: Option<mpsc::Sender<Asked>>,
    ) -> anyhow::Result<Ran> {
        let mark = |text: String| {
            if let Some(marks) = &marks {
                let (answer, _) = oneshot::channel();
                // A mark must not hold up the deployment: if the queue is full, it is left out.
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
        let shown = self.deployment.borrow().command().to_owned();
        mark(format!("deploy begins: {shown}"));
        let mut running = match command::start(&self.args.command, signals) {
            Started::Running(running) => running,
            Started::Failed(error, code) => {
                eprintln!("tracer: cannot run {shown}: {error}");
                return Ok(Ran::NotStarted(code));
            }
        };
        self.deployment
            .borrow_mut()
            .command_started(running.pid(), clock::now());
        let end = running
            .wait(signals, |pid| self.deployment.borrow().runs(pid))
            .await
            .context("cannot wait for the command")?;
        self.deployment
            .borrow_mut()
            .command_exited(end, clock::now());
        mark(match end {
            CommandExit::ExitCode(code) => format!("deploy's command exited with {code}"),
            CommandExit::Signal(signal) => {
                format!("deploy's command was killed by signal {signal}")
            }
        });
        // After a failure that followed an interruption, nobody wants to wait.
        if end.code() == 0 || !running.interrupted() {
            tokio::select! {
                () = tokio::time::sleep(self.args.grace) => {}
                _ = signals.next() => {}
            }
        }
        Ok(Ran::Finished(end, clock::now()))
    }

    /// Finishes the recording, if there is one, and prints what was kept about it.
    fn finish_recording(&self, live: &mut Live) {
        let Some(path) = &self.args.record else {
            return;
        };
        let summary = live.finish_recording();
        let notices = self.notices.lock();
        for notice in notices
            .map(|mut all| std::mem::take(&mut *all))
            .unwrap_or_default()
        {
            recording::print_notice(notice);
        }
        recording::print_summary(&path.display(), summary);
    }
}

/// Combines the results of the trace and of the command.
fn outcome(
    traced: io::Result<()>,
    ran: anyhow::Result<Option<Ran>>,
) -> anyhow::Result<Option<Ran>> {
    match (traced, ran) {
        (Ok(()), ran) => ran,
        (Err(error), Ok(Some(Ran::Finished(end, _)))) if end.code() != 0 => {
            eprintln!("tracer: tracing failed: {error}");
            Ok(Some(Ran::Untraced(end.code())))
        }
        (Err(error), _) => Err(error).context("tracing failed, so there is no verdict"),
    }
}

/// Keeps the recorder's notices until the command has finished.
fn keep(notices: Arc<Mutex<Vec<Notice>>>) -> impl FnMut(Notice) + Send + 'static {
    move |notice| {
        if let Ok(mut notices) = notices.lock()
            && notices.len() < MAX_NOTICES
        {
            notices.push(notice);
        }
    }
}

/// Notes the running services, and the peak memory of processes that are new.
fn sample(deployment: Shared<Deployment>) -> impl FnMut(&Analysis, Timestamp) + 'static {
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
