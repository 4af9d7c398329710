//! `tracer deploy`: runs a deployment's command and watches what it does to the services.
//!
//! The tracer prints nothing while the command runs. `session` traces meanwhile, `command` runs the
//! command, `publish` writes the verdict wherever it is wanted. `tracer_present::deploy` decides the
//! verdict.

mod args;
mod command;
mod publish;
mod session;

use anyhow::Context as _;
use tracer_present::deploy::model::FAIL_ON;

pub(super) use self::args::Args;
use self::command::Signals;
use self::session::{Ran, Session};
use super::outcome::Outcome;
use super::runtime::runtime;

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rules = args.config.load()?;
    // Before any other thread is started: threads inherit the blocked signals.
    let signals = Signals::block().context("cannot catch signals")?;
    let session = Session::new(args);
    match runtime()?.block_on(session.run(rules, signals))? {
        None => anyhow::bail!("the trace did not begin; the command was not run"),
        Some(Ran::NotStarted(code) | Ran::Untraced(code)) => Ok(Outcome::Deployment(code)),
        Some(Ran::Finished(_, until)) => {
            let fail_on = match &args.fail_on[..] {
                [] => &FAIL_ON[..],
                chosen => chosen,
            };
            let (deployment, report) = session.into_parts();
            let verdict = deployment.borrow().verdict(fail_on, until);
            let code = verdict.exit_code();
            publish::publish(args, verdict, report)?;
            Ok(Outcome::Deployment(code))
        }
    }
}
