//! `tracer top`: the live screen.
//!
//! The tracer and the screen run on separate threads: a slow terminal never delays the tracer.
//! Findings that arrive faster than the screen can take them are counted, not shown.

mod args;
mod input;
mod live;
mod replay;
mod terminal;

use std::io::{self, IsTerminal as _};

use anyhow::bail;
use jiff::tz::TimeZone;
use tracer_present::top::{Screen, Theme};

pub(super) use self::args::Args;
use super::outcome::Outcome;

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        bail!(
            "`tracer top` needs a terminal; use `tracer watch` to print lines, or \
             `tracer watch --json` to print JSON"
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

/// Whether the locale says that the terminal can show Unicode.
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
    fn the_locale_decides_whether_unicode_is_drawn() {
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
