//! `tracer doctor`: checks what works on this machine, what doesn't, why, and what to do about it.

use std::collections::BTreeSet;
use std::io;

use tracer_analysis::Analysis;
use tracer_analysis::rules::Rules;
use tracer_kernel::settings::Settings;
use tracer_kernel::{Followed, Kernel, KernelFacts, plan};
use tracer_model::{Hook, Pid, ProxyKind};
use tracer_observe::Observer;
use tracer_present::doctor::{self, Check, Status};

use super::color::ColorChoice;
use super::outcome::Outcome;
use super::runtime::runtime;
use super::services;
use crate::self_check;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON array
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
    let (analysis, observer) = services::scan(Rules::none());
    match Kernel::start(&Settings::default()) {
        Ok(mut kernel) => {
            checks.push(reads(&facts));
            checks.extend(kernel.hooks().iter().map(hook));
            checks.extend(requests(&mut kernel, &analysis, &observer));
            for blind in kernel.blind() {
                checks.push(check(
                    "blind",
                    Status::Warn,
                    format!("can't be seen: {blind}"),
                ));
            }
            checks.extend(compared(&mut kernel).await);
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            checks.push(check("tracing", Status::Fail, format!("{error:#}")));
            return checks;
        }
    }
    checks.extend(what_runs(&analysis, &observer));
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

/// How the kernel programs read kernel memory.
fn reads(facts: &KernelFacts) -> Check {
    let detail = match &facts.cast {
        Ok(_) => "kernel memory is read by plain loads (bpf_rdonly_cast)".to_owned(),
        Err(why) => {
            format!("kernel memory is read through a helper, which is a little slower ({why})")
        }
    };
    check("reads", Status::Ok, detail)
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

/// Compares what the hooks report about a process of our own with /proc.
async fn compared(kernel: &mut Kernel) -> Vec<Check> {
    const NAME: &str = "self-check";
    let remedy =
        || Some("please report this as a bug, with the output of `tracer doctor`".to_owned());
    match self_check::run(kernel).await {
        Ok(result) => {
            let seen = format!(
                "a test process was killed, and its exit was seen after {:.1} ms",
                result.took.as_secs_f64() * 1e3
            );
            let mut checks = vec![check(NAME, Status::Ok, seen)];
            for (status, detail) in doctor::compared(&result.fields) {
                checks.push(Check {
                    remedy: (status == Status::Fail).then(remedy).flatten(),
                    ..check(NAME, status, detail)
                });
            }
            checks
        }
        Err(error) => vec![Check {
            remedy: remedy(),
            ..check(NAME, Status::Fail, format!("{error:#}"))
        }],
    }
}

/// The hooks that follow the requests of the running proxies. If no proxy runs, they are tried on the
/// tracer's own cgroup.
fn requests(kernel: &mut Kernel, analysis: &Analysis, observer: &Observer) -> [Check; 2] {
    let proxies = analysis.world().proxies();
    let pids: BTreeSet<Pid> = proxies.iter().map(|proxy| proxy.key.pid).collect();
    let tried = BTreeSet::from([std::process::id()]);
    let on = if pids.is_empty() { &tried } else { &pids };
    let cgroups = observer.cgroups_of(Some(on));
    kernel.follow(Followed {
        ports: analysis.world().proxy_ports(),
        cgroups,
        pids,
    });
    let http = kernel.http_hook().map_or_else(
        || {
            let detail = "not available (no cgroup v2 hierarchy is visible here)";
            check("http", Status::Warn, detail.to_owned())
        },
        |it| hook(&it),
    );
    let tls = kernel.tls_hook().map_or_else(
        || {
            let detail = "not needed (no running proxy uses OpenSSL)";
            check("tls", Status::Ok, detail.to_owned())
        },
        |it| hook(&it),
    );
    [http, tls]
}

/// The services that would be watched, and the blind spots.
fn what_runs(analysis: &Analysis, observer: &Observer) -> Vec<Check> {
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
            "{} found, {} of them with listeners (see `tracer services`)",
            services.len(),
            listening.count()
        ),
    )];
    let known: Vec<&str> = ProxyKind::ALL.iter().map(|kind| kind.as_str()).collect();
    checks.push(if proxies.is_empty() {
        check(
            "proxies",
            Status::Warn,
            format!("no running proxy found ({})", known.join(", ")),
        )
    } else {
        check("proxies", Status::Ok, proxies.join(", "))
    });
    for blind in observer.blind() {
        checks.push(check(
            "blind",
            Status::Warn,
            format!("can't be seen: {blind}"),
        ));
    }
    checks
}
