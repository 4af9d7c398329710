//! Where requests to a running tracer arrive (`tracer mark`, `tracer status`) and are answered.

use tokio::sync::mpsc;
use tracer_analysis::World;

use crate::control::{Answer, Asked, Request, Standing, Status};

/// What a tracer says about itself that its findings don't.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The subcommand: `watch`, `record` …
    pub command: &'static str,
    /// Where it records to.
    pub recording: Option<String>,
}

/// A queue of requests, and who answers them.
#[derive(Debug)]
pub struct Desk {
    about: About,
    /// Kept, so that the queue never looks closed.
    sender: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
}

impl Desk {
    /// Answers as `about` what comes through `asked`, whose other end is `sender`.
    pub fn new(about: About, sender: mpsc::Sender<Asked>, asked: mpsc::Receiver<Asked>) -> Self {
        Self {
            about,
            sender,
            asked,
        }
    }

    /// Where requests are sent to.
    pub(super) fn sender(&self) -> mpsc::Sender<Asked> {
        self.sender.clone()
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }

    /// Answers a request. A mark has been observed before.
    pub(super) fn answer(&self, asked: Asked, standing: &Standing, world: &World) {
        let (pid, command) = (std::process::id(), self.about.command.to_owned());
        let answer = match asked.request {
            Request::Mark { .. } => Answer::Marked { pid, command },
            Request::Status => Answer::Status(Box::new(Status {
                pid,
                command,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                recording: self.about.recording.clone(),
                services: world.services(pid).len(),
                ..standing.status()
            })),
        };
        // Whoever asked may be gone.
        let _ = asked.answer.send(answer);
    }
}
