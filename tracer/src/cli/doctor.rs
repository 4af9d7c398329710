//! `tracer doctor`: facts about this machine, what will work, what won't, why, and what to do.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, timeout_at};

use super::{ColorChoice, Outcome, runtime, services};
use crate::analyze::rules::Rules;
use crate::kernel::{Kernel, KernelFacts, plan};
use crate::model::{ExitStatus, Hook, Observation, What};
use crate::present::doctor::{self, Check, Status};
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON array
    #[arg(long)]
    json: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let checks = runtime()?.block_on(examine());
    let mut out = io::stdout().lock();
    if args.json {
        doctor::json(&mut out, &checks)?;
    } else {
        doctor::text(&mut out, &checks, args.color.enabled())?;
    }
    let fails = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if fails {
        Outcome::Negative
    } else {
        Outcome::Success
    })
}

async fn examine() -> Vec<Check> {
    let (facts, _) = KernelFacts::gather();
    let mut checks = vec![check("kernel", Status::Ok, facts.release.clone())];
    if let Err(refusal) = plan(&facts) {
        checks.push(Check {
            remedy: Some(refusal.advice),
            ..check("tracing", Status::Fail, refusal.what)
        });
        return checks;
    }
    match Kernel::start(&Settings::default()) {
        Ok(mut kernel) => {
            checks.extend(kernel.hooks().iter().map(hook));
            for blind in kernel.blind() {
                checks.push(check(
                    "blind",
                    Status::Warn,
                    format!("can't be seen: {blind}"),
                ));
            }
            checks.push(self_check(&mut kernel).await);
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            checks.push(check("tracing", Status::Fail, format!("{error:#}")));
            return checks;
        }
    }
    checks.extend(what_runs());
    checks
}

fn check(name: &str, status: Status, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        status,
        detail,
        remedy: None,
    }
}

fn hook(hook: &Hook) -> Check {
    let via = hook.via.as_deref().unwrap_or("not available");
    let detail = match &hook.why {
        Some(why) => format!("{via} ({why})"),
        None => via.to_owned(),
    };
    let status = if hook.ok { Status::Ok } else { Status::Warn };
    check(&hook.name, status, detail)
}

/// Ends a process of our own and looks for its death in the rings.
async fn self_check(kernel: &mut Kernel) -> Check {
    const NAME: &str = "self-check";
    match death_of_a_child(kernel).await {
        Ok(took) => check(
            NAME,
            Status::Ok,
            format!(
                "a process was ended and its death was seen after {:.1} ms",
                took.as_secs_f64() * 1e3
            ),
        ),
        Err(error) => Check {
            remedy: Some("please report this, with the output of `tracer doctor`".to_owned()),
            ..check(NAME, Status::Fail, format!("{error:#}"))
        },
    }
}

/// How long after its exit() a child's death came out of the rings.
async fn death_of_a_child(kernel: &mut Kernel) -> anyhow::Result<Duration> {
    const LIMIT: Duration = Duration::from_secs(2);
    let mut child = Command::new("/proc/self/exe")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start a process")?;
    let pid = child.id();
    child.wait().context("cannot wait for a process")?;
    let ended = Instant::now();
    let mut seen = Vec::new();
    loop {
        kernel.drain(&mut seen);
        if seen
            .drain(..)
            .any(|observation| is_clean_death(&observation, pid))
        {
            return Ok(ended.elapsed());
        }
        if !kernel.has_pending() {
            timeout_at(ended + LIMIT, kernel.readable())
                .await
                .context("a process was ended, but its death was not seen within 2 s")??;
        }
    }
}

fn is_clean_death(observation: &Observation, pid: u32) -> bool {
    matches!(
        &observation.what,
        What::Exited(exit) if exit.task.key.pid == pid && exit.status == ExitStatus::Code(0)
    )
}

/// What would be watched, and what hinders that.
fn what_runs() -> Vec<Check> {
    let (analysis, blind) = services::scan(Rules::none());
    let services = analysis.world().services(std::process::id());
    let proxies: Vec<_> = services
        .iter()
        .filter(|service| service.role.is_some())
        .map(|service| service.service.name.to_string())
        .collect();
    let listening = services
        .iter()
        .filter(|service| !service.listens.is_empty());
    let mut checks = vec![check(
        "services",
        Status::Ok,
        format!(
            "{} found, {} of them listen (see `tracer services`)",
            services.len(),
            listening.count()
        ),
    )];
    checks.push(if proxies.is_empty() {
        check(
            "proxies",
            Status::Warn,
            "none runs (nginx, Apache, HAProxy, Caddy, Traefik, Envoy)".to_owned(),
        )
    } else {
        check("proxies", Status::Ok, proxies.join(", "))
    });
    for blind in blind {
        checks.push(check(
            "blind",
            Status::Warn,
            format!("can't be seen: {blind}"),
        ));
    }
    checks
}
