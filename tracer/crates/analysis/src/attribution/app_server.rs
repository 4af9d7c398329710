//! Application servers that say what they serve: gunicorn, uWSGI, Puma, Unicorn, Sidekiq, Uvicorn,
//! Celery.

use tracer_model::{Manager, Service};

use super::script;
use crate::candidate::{Candidate, basename, named};

/// Names of the servers' programs, and how their services are called.
const SERVERS: [(&str, &str); 12] = [
    ("gunicorn", "gunicorn"),
    ("gunicorn3", "gunicorn"),
    ("uwsgi", "uwsgi"),
    ("uwsgi-core", "uwsgi"),
    ("puma", "puma"),
    ("pumactl", "puma"),
    ("sidekiq", "sidekiq"),
    ("unicorn", "unicorn"),
    ("unicorn_rails", "unicorn"),
    ("uvicorn", "uvicorn"),
    ("hypercorn", "hypercorn"),
    ("celery", "celery"),
];

/// How Unicorn's titles begin.
const UNICORNS: [&str; 3] = ["unicorn master", "unicorn worker", "unicorn_rails "];

/// The server with its application: `gunicorn shop.wsgi:application in /srv/shop`.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let (server, app, evidence) = by_title(candidate).or_else(|| by_arguments(candidate))?;
    // Workers call themselves otherwise than their master; they are one service.
    if let Some(parent) = candidate.parent_service()
        && parent.manager == Manager::AppServer
        && parent.name.split(' ').next() == Some(server)
    {
        return Some(parent.clone());
    }
    let mut name = server.to_owned();
    if let Some(app) = app {
        name.push(' ');
        name.push_str(app);
    }
    if let Some(cwd) = candidate.facts.cwd.as_deref().filter(|cwd| cwd.len() > 1) {
        name.push_str(" in ");
        name.push_str(cwd);
    }
    named(&name, Manager::AppServer, &evidence)
}

type Found<'a> = (&'static str, Option<&'a str>, String);

fn by_title<'a>(candidate: &Candidate<'a>) -> Option<Found<'a>> {
    let title = candidate.facts.args.first()?.trim();
    let (server, app) = if let Some(rest) = title.strip_prefix("gunicorn: ") {
        ("gunicorn", bracketed(rest))
    } else if title.starts_with("puma: ") || is_versioned(title, "puma ") {
        ("puma", bracketed(title))
    } else if is_versioned(title, "sidekiq ") {
        // sidekiq 6.5.1 shop [0 of 5 busy]
        let app = title.split(' ').nth(2).filter(|app| !app.starts_with('['));
        ("sidekiq", app)
    } else if UNICORNS.iter().any(|start| title.starts_with(start)) {
        ("unicorn", None)
    } else if title.starts_with("uWSGI ") {
        ("uwsgi", None)
    } else if title.starts_with("[celeryd:") || title.starts_with("[celery ") {
        // [celeryd: celery@host:MainProcess] -active- (worker -A shop)
        (
            "celery",
            after(title.split([' ', '(', ')']), &["-A", "--app"]),
        )
    } else {
        return None;
    };
    Some((server, app, format!("title {title:?}")))
}

fn by_arguments<'a>(candidate: &Candidate<'a>) -> Option<Found<'a>> {
    // The server is the program, its script or module, or what Bundler executes.
    let args = &candidate.facts.args;
    let script = script::of(candidate);
    let (at, server) = args.iter().take(16).enumerate().find_map(|(at, arg)| {
        let name = basename(arg);
        let (_, server) = SERVERS.iter().find(|(program, _)| *program == name)?;
        let runs = match at.checked_sub(1) {
            None => true,
            Some(before) => {
                &*args[before] == "exec" || script.as_ref().is_some_and(|script| script.runs(arg))
            }
        };
        runs.then_some((at, *server))
    })?;
    let rest = || args.iter().skip(at + 1).map(|arg| &**arg);
    let app = match server {
        "celery" => after(rest(), &["-A", "--app"]),
        "uwsgi" => after(
            rest(),
            &["--ini", "-i", "--yaml", "--emperor", "--module", "-w"],
        )
        .or_else(|| rest().find(|arg| arg.strip_suffix(".ini").is_some()))
        .map(stem),
        _ => rest().find(|arg| is_application(arg)),
    };
    Some((server, app, format!("command {}", args[at])))
}

/// The last `[…]` of a title.
fn bracketed(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    Some(inside).filter(|inside| !inside.is_empty())
}

/// `puma 5.6.5 (…)`: the name is followed by a version rather than by a file.
fn is_versioned(title: &str, prefix: &str) -> bool {
    title
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The value of one of `options`, as the next word or after `=`.
fn after<'a>(mut words: impl Iterator<Item = &'a str>, options: &[&str]) -> Option<&'a str> {
    while let Some(word) = words.next() {
        if options.contains(&word) {
            return words.next().filter(|value| !value.is_empty());
        }
        if let Some((option, value)) = word.split_once('=')
            && options.contains(&option)
        {
            return Some(value).filter(|value| !value.is_empty());
        }
    }
    None
}

/// `shop.wsgi:application`, but not `127.0.0.1:8000` or `/run/x.sock`.
fn is_application(arg: &str) -> bool {
    let is_path = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '(' | ')'))
    };
    // `unix:app.sock` is an address too.
    arg.split_once(':')
        .is_some_and(|(module, object)| module != "unix" && is_path(module) && is_path(object))
}

/// A file's name without directory and extension.
fn stem(path: &str) -> &str {
    let name = basename(path);
    name.rsplit_once('.')
        .map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
}
