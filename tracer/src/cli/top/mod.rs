//! `tracer top`: the live screen.
//!
//! The tracer has its thread, the screen another: a terminal that takes its time never delays the
//! tracer. What comes faster than it is drawn is counted.

mod input;
mod live;
mod replay;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::bail;
use jiff::tz::TimeZone;
use tracer_capture::Source;
use tracer_kernel::settings::HttpMode;
use tracer_model::{Body, Finding};
use tracer_present::top::{Screen, Theme};

use super::color::ColorChoice;
use super::config::ConfigArgs;
use super::filter::{self, ServiceGlob};
use super::outcome::Outcome;

/// How long nothing is drawn after the screen was: ten times a second is as fast as it gets.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only services whose names match (may be given several times)
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    service: Vec<ServiceGlob>,

    /// Show these captures instead (the files of a rotation are one stream), in both directions
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        value_parser = file,
        conflicts_with_all = ["http", "show_query", "config"]
    )]
    replay: Vec<Source>,

    /// Whose HTTP requests to follow: everybody's, those at proxies, or nobody's
    #[arg(long, value_name = "WHOSE", default_value = "proxies")]
    http: HttpMode,

    /// Show query strings of requests, which may hold secrets
    #[arg(long)]
    show_query: bool,

    /// Colour the screen
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        bail!(
            "`tracer top` draws on a terminal, and this is none; `tracer watch` writes lines, and \
             `tracer watch --json` JSON"
        );
    }
    let theme = Theme {
        colour: args.color.enabled(),
        unicode: unicode(|name| std::env::var(name).ok()),
    };
    let screen = Screen::new(theme, TimeZone::system());
    if args.replay.is_empty() {
        live::run(args, screen)?;
    } else {
        replay::run(&args.replay, &args.service, screen)?;
    }
    Ok(Outcome::Success)
}

/// The start tells of all services that run: leaves those that were asked for.
fn only(globs: &[ServiceGlob], finding: &mut Finding) {
    if let Body::Start(start) = &mut finding.body {
        let services = &mut start.services;
        services.retain(|running| filter::shows(globs, &running.service.name));
    }
}

/// A capture that can be read again and again.
fn file(text: &str) -> Result<Source, String> {
    match text {
        "" | "-" => Err("expected a file: it is read more than once".to_owned()),
        path => Ok(Source::File(path.into())),
    }
}

/// Whether the terminal shows more than ASCII, by what the locale says.
fn unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}

#[cfg(test)]
mod tests {
    use super::unicode;

    #[test]
    fn the_locale_tells_whether_more_than_ascii_is_shown() {
        for (set, want) in [
            (&[("LANG", "de_DE.UTF-8")][..], true),
            (&[("LANG", "C.utf8")], true),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8")], true),
            (&[("LANG", "de_DE.ISO-8859-1")], false),
            (&[], false),
        ] {
            let find = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(unicode(find), want, "{set:?}");
        }
    }
}
