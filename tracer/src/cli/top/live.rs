//! The live screen of the running machine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot;
use tracer_analysis::world::ServiceView;
use tracer_model::{Body, Finding, WallTime};
use tracer_observe::usage;
use tracer_present::top::{Sample, Screen, Want};

use super::args::Args;
use super::terminal::{FRAME, Terminal, restore};
use crate::cli::control;
use crate::cli::filter::{self, ServiceGlob};
use crate::cli::runtime::runtime;
use crate::cli::stop;
use crate::live::pipeline::Live;
use crate::live::residency;

/// Capacity of the queue to the screen. Nobody could read more findings in a tenth of a second.
const QUEUE: usize = 4_096;
/// How often the services and their memory are sampled.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long to wait for a terminal that has stopped taking output.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message from the tracer's thread to the screen's.
enum News {
    Finding(Box<Finding>),
    Services(WallTime, Vec<ServiceView>),
}

/// The tracer's end of the queue.
#[derive(Clone)]
struct Sender {
    queue: SyncSender<News>,
    unshown: Arc<AtomicU64>,
}

impl Sender {
    /// Never waits.
    fn send(&self, news: News) {
        if let Err(TrySendError::Full(News::Finding(_))) = self.queue.try_send(news) {
            self.unshown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The screen's end.
struct Inbox {
    queue: Receiver<News>,
    unshown: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

pub(super) fn run(args: &Args, screen: Screen) -> anyhow::Result<()> {
    let rules = args.config.load()?;
    let settings = args.requests.settings(false);
    let (queue, receiver) = mpsc::sync_channel(QUEUE);
    let unshown = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let inbox = Inbox {
        queue: receiver,
        unshown: Arc::clone(&unshown),
        stop: Arc::clone(&stop),
    };
    let sender = Sender { queue, unshown };
    runtime()?.block_on(async {
        let asked = stop::stop_request(None)?;
        // Errors from here must be printed before the terminal is set up for drawing.
        residency::stand_last();
        let mut live = Live::start(rules, &settings)?;
        let _control = control::listen(&mut live, "top", None);
        let (ended, screen_ended) = oneshot::channel();
        let drawing = thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                // Fails if the trace ended first: then nobody waits for this any more.
                let _ = ended.send(show(screen, &inbox));
            })
            .context("the screen's thread could not be started")?;
        let globs = args.service.clone();
        live.look_every(SAMPLE, watch_services(globs.clone(), sender.clone()));
        let mut emit = |finding: &Finding| {
            // The screen closes at the end: there is nowhere to show that finding.
            if filter::concerns(&globs, finding) && !matches!(finding.body, Body::End(_)) {
                let mut finding = Box::new(finding.clone());
                filter::retain_services(&globs, &mut finding);
                sender.send(News::Finding(finding));
            }
            Ok(())
        };
        let mut shown = None;
        let mut screen_ended = screen_ended;
        let until = async {
            tokio::select! {
                () = asked => {}
                result = &mut screen_ended => shown = Some(result),
            }
        };
        let traced = live.run(until, &mut emit).await;
        stop.store(true, Ordering::Relaxed);
        let shown = match shown {
            Some(result) => Some(result),
            None => tokio::time::timeout(PATIENCE, screen_ended).await.ok(),
        };
        match shown {
            // The thread has sent its result and is about to exit.
            Some(_) => drop(drawing.join()),
            // The thread is blocked on a terminal that may never take output again.
            None => restore(),
        }
        traced.context("tracing failed")?;
        match shown {
            Some(Ok(result)) => result.context("the terminal can't be used"),
            Some(Err(_)) => Err(anyhow!("the screen ended unexpectedly")),
            None => Ok(()),
        }
    })
}

/// Sends the running services to the screen.
fn watch_services(
    globs: Vec<ServiceGlob>,
    sender: Sender,
) -> impl FnMut(&tracer_analysis::Analysis, tracer_model::Timestamp) + 'static {
    move |analysis, now| {
        let world = analysis.world();
        let mut services = world.services(std::process::id());
        services.retain(|view| filter::shows(&globs, &view.service.name));
        sender.send(News::Services(world.wall(now), services));
    }
}

/// Draws until the user quits or the tracer stops.
fn show(mut screen: Screen, inbox: &Inbox) -> io::Result<()> {
    let mut terminal = Terminal::open(&screen)?;
    loop {
        let mut news = false;
        // At most one queue's worth, so that a storm of findings can't hold up drawing.
        for one in inbox.queue.try_iter().take(QUEUE) {
            news = true;
            match one {
                News::Finding(finding) => screen.found(&finding),
                News::Services(at, services) => screen.sampled(at, &with_memory(services)),
            }
        }
        screen.unshown(inbox.unshown.swap(0, Ordering::Relaxed));
        if news {
            terminal.changed();
        }
        terminal.draw(&mut screen)?;
        if inbox.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if terminal.wait(&mut screen, FRAME)? == Some(Want::Quit) {
            return Ok(());
        }
    }
}

fn with_memory(services: Vec<ServiceView>) -> Vec<Sample> {
    services
        .into_iter()
        .map(|view| {
            let pids = view.pids.iter();
            let memory = pids.filter_map(|pid| usage::resident_bytes(*pid));
            Sample {
                memory_bytes: memory.reduce(u64::saturating_add),
                view,
            }
        })
        .collect()
}
