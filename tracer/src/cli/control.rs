//! `tracer mark` and `tracer status`, and the control socket that the watching commands open for them.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tracer_model::Pid;
use tracer_present::cell::{cell, name};

use super::outcome::Outcome;
use crate::control::{Answer, Request, Server, Status, client, protocol, run_dir};
use crate::live::desk::{About, Desk};
use crate::live::pipeline::Live;

#[derive(Debug, clap::Args)]
pub(super) struct MarkArgs {
    /// The text of the mark, for example 'deploy 42' or 'config changed'
    #[arg(value_parser = label)]
    label: String,

    /// Mark only the tracer with this process id [default: all running tracers]
    #[arg(long, value_name = "PID")]
    pid: Option<Pid>,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,

    /// Show only the tracer with this process id [default: all running tracers]
    #[arg(long, value_name = "PID")]
    pid: Option<Pid>,
}

fn label(text: &str) -> Result<String, String> {
    protocol::clean_label(text).ok_or_else(|| "the label must not be empty".to_owned())
}

/// Opens the control socket of a watching tracer. If that fails, it watches all the same.
pub(super) fn listen(
    live: &mut Live,
    command: &'static str,
    recording: Option<String>,
) -> Option<Server> {
    let about = About { command, recording };
    match Server::start(&run_dir()) {
        Ok((server, sender, asked)) => {
            live.serve(Desk::new(about, sender, asked));
            Some(server)
        }
        Err(error) => {
            eprintln!("tracer: {error}; `tracer mark` and `tracer status` can't reach this tracer");
            // The command itself may still add marks.
            let (sender, asked) = mpsc::channel(1);
            live.serve(Desk::new(about, sender, asked));
            None
        }
    }
}

pub(super) fn mark(args: &MarkArgs) -> anyhow::Result<Outcome> {
    let request = Request::Mark {
        label: args.label.clone(),
    };
    let (mut out, mut failed) = (io::stdout().lock(), false);
    for (pid, answer) in ask(args.pid, &request)? {
        match answer {
            Answer::Marked { command, .. } => {
                writeln!(out, "marked tracer[{pid}] ({})", name(&command))?;
            }
            other => {
                failed = true;
                eprintln!("tracer: tracer[{pid}] {}", refusal(&other));
            }
        }
    }
    Ok(outcome(failed))
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let (mut all, mut failed) = (Vec::new(), false);
    for (pid, answer) in ask(args.pid, &Request::Status)? {
        match answer {
            Answer::Status(status) => all.push(*status),
            other => {
                failed = true;
                eprintln!("tracer: tracer[{pid}] {}", refusal(&other));
            }
        }
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &all)?;
        writeln!(out)?;
    } else {
        for status in &all {
            out.write_all(text(status).as_bytes())?;
        }
    }
    Ok(outcome(failed))
}

fn outcome(failed: bool) -> Outcome {
    if failed {
        Outcome::Negative
    } else {
        Outcome::Success
    }
}

fn refusal(answer: &Answer) -> String {
    match answer {
        Answer::Refused { why } => format!("refused: {}", cell(why, 200)),
        Answer::Marked { .. } | Answer::Status(_) => {
            "sent an unexpected answer; it may be another version of tracer".to_owned()
        }
    }
}

/// Sends the request, and prints which tracers did not answer.
fn ask(pid: Option<Pid>, request: &Request) -> anyhow::Result<Vec<(Pid, Answer)>> {
    let folder = run_dir();
    let replies = client::ask(&folder, pid, request)
        .with_context(|| format!("cannot read {}; run this as root", folder.display()))?;
    let asked = replies.len();
    let mut answers = Vec::new();
    let mut problem = None;
    for one in replies {
        match one.answer {
            Ok(answer) => answers.push((one.pid, answer)),
            Err(error) => {
                eprintln!("tracer: tracer[{}] did not answer: {error}", one.pid);
                problem = Some(one.pid);
            }
        }
    }
    match (asked, pid, problem) {
        (0, Some(pid), _) => bail!(
            "no running tracer with process id {pid}: {} has no socket of it",
            folder.display()
        ),
        (0, None, _) => bail!(
            "no running tracer: {} has no socket of one",
            folder.display()
        ),
        (_, _, Some(_)) if answers.is_empty() => bail!("no tracer answered"),
        _ => Ok(answers),
    }
}

/// A tracer and its totals in a few lines.
fn text(status: &Status) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let since = status.since.as_deref().unwrap_or("(not armed yet)");
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "tracer[{}] {} · {} · since {}",
        status.pid,
        name(&status.command),
        name(&status.version),
        name(since)
    );
    let recording = match &status.recording {
        Some(file) => format!("recording to {}", cell(file, 200)),
        None => "not recording".to_owned(),
    };
    let _ = writeln!(
        text,
        "  {} of {} hooks armed · {} services · {recording}",
        status.hooks_armed, status.hooks, status.services,
    );
    let counts: Vec<String> = status
        .findings
        .iter()
        .map(|(kind, count)| format!("{count} {}", name(kind)))
        .collect();
    let _ = writeln!(text, "  findings: {}", counts.join(", "));
    for incident in &status.incidents_open {
        let _ = writeln!(
            text,
            "  open incident {} · {} · {} · since {}",
            incident.id,
            name(&incident.service),
            cell(&incident.summary, 200),
            name(&incident.opened)
        );
    }
    let _ = writeln!(text, "  events lost: {}", status.events_lost);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_few_printable_lines_whatever_it_holds() {
        let status = Status {
            pid: 7,
            command: "record".into(),
            version: "0.1.0\u{1b}[2J".into(),
            since: Some("2026-11-22T14:30:01.000000000Z".into()),
            recording: Some("/var/log/x.trc".into()),
            hooks_armed: 14,
            hooks: 15,
            services: 3,
            findings: [("death".to_owned(), 2), ("start".to_owned(), 1)].into(),
            incidents_open: vec![protocol::OpenIncident {
                id: 4,
                service: "web\n".into(),
                summary: "OOM".into(),
                opened: "2026-11-22T14:31:01.000000000Z".into(),
            }],
            events_lost: 0,
        };
        insta::assert_snapshot!(text(&status));
    }
}
