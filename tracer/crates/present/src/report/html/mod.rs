//! A report as one page: no other file, no network, nothing that runs but its own small script,
//! and readable without that.
//!
//! Its style is one file however long: sections in the order of the page, of which there is one.
//!
//! The page's policy (CSP) forbids everything else: should an escape ever be missing, what gets in
//! can neither run nor call home.

mod axis;
mod outside;
mod picture;
mod sections;

use std::io::{self, Write};

use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tracer_model::{Cause, wording};

use self::outside::{Outside, shown};
use self::picture::Picture;
use super::model::{IncidentReport, Report};
use super::words::{self, Clock};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// SHA-256 of [`STYLE`] and [`SCRIPT`], which the policy names; a test keeps them true.
const STYLE_HASH: &str = "sha256-yVNibUc2a0dfdkxbtwYISQrvERJg+o9qibDAFswHo3E=";
const SCRIPT_HASH: &str = "sha256-oxm86Llss/FUlcUdoJq6lSP7MHlaF/KpEeUI4Lw+lFs=";

/// Writes it to `out`.
pub(super) fn write(report: &Report, zone: TimeZone, out: &mut impl Write) -> io::Result<()> {
    let clock = Clock::new(report, zone);
    out.write_all(page(report, &clock).into_string().as_bytes())
}

/// The incident that cost most; those that somebody wanted come last.
fn worst(report: &Report) -> Option<&IncidentReport> {
    let unwanted = |it: &IncidentReport| it.cause != Cause::Clean;
    let down = |it: &IncidentReport| it.down_ms.unwrap_or(0.0);
    report.incidents.items.iter().max_by(|a, b| {
        (a.requests.count.cmp(&b.requests.count))
            .then(unwanted(a).cmp(&unwanted(b)))
            .then(a.connects_failed.cmp(&b.connects_failed))
            .then(down(a).total_cmp(&down(b)))
            // Of equals the first.
            .then(b.opened.cmp(&a.opened))
    })
}

fn page(report: &Report, clock: &Clock) -> Markup {
    let hosts = report.sessions.items.iter();
    let host = hosts.filter_map(|it| it.host.as_deref()).next_back();
    let title = match worst(report) {
        Some(worst) => format!(
            "{} {}",
            shown(&worst.service.name),
            wording::what_happened(worst.cause)
        ),
        None => "Postmortem".to_owned(),
    };
    let policy = format!(
        "default-src 'none'; style-src '{STYLE_HASH}'; script-src '{SCRIPT_HASH}'; \
         base-uri 'none'; form-action 'none'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (title) " · tracer report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#incidents" { "Skip to the incidents" }
                header.masthead {
                    p.brand { "tracer " span { "report" } }
                    p.window {
                        @if let Some(host) = host { strong { (Outside(host)) } }
                        @if let (Some(from), Some(to)) = (report.from, report.to) {
                            span { (clock.window(from, to)) }
                        }
                    }
                }
                main {
                    (sections::deployment(report))
                    (sections::lead(report, worst(report), clock))
                    (timeline(report, clock))
                    (sections::marks(report, clock))
                    (sections::services(report))
                    (sections::incidents(report, worst(report), clock))
                    (sections::failures(report, clock))
                    (sections::deaths(report, clock))
                    (sections::unseen(report))
                    (sections::sessions(report, clock))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn zone(report: &Report, clock: &Clock) -> String {
    clock.zone_at(report.to.unwrap_or_default())
}

fn timeline(report: &Report, clock: &Clock) -> Markup {
    let Some(picture) = Picture::whole(report) else {
        return html! {};
    };
    let left_out = report.lanes.left_out;
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline { "Timeline" }
            (picture.render(clock, &format!("One lane per service, times in {}", zone(report, clock))))
            ul.legend aria-label="Legend" {
                li.death { "death" }
                li.down { "down" }
                li.request { "failed request" }
                li.connection { "failed or cut connection" }
            }
            p.hint hidden {
                "Arrow keys go from event to event. " kbd { "+" } " " kbd { "−" } " or "
                kbd { "Ctrl" } " and the wheel zoom, dragging moves, " kbd { "0" } " resets."
            }
            @if left_out > 0 {
                p.more { (words::counted(left_out, "more service is", "more services are")) " only in the tables." }
            }
            (picture.table(clock))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use sha2::{Digest as _, Sha256};

    use super::*;

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut group = [0; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for place in 0..4 {
                let digit = (bits >> (18 - 6 * place)) as usize & 63;
                let known = place <= chunk.len();
                let c = if known {
                    char::from(DIGITS[digit])
                } else {
                    '='
                };
                let _ = write!(text, "{c}");
            }
        }
        text
    }

    #[test]
    fn the_policy_names_exactly_this_style_and_this_script() {
        for (name, text, hash) in [
            ("STYLE_HASH", STYLE, STYLE_HASH),
            ("SCRIPT_HASH", SCRIPT, SCRIPT_HASH),
        ] {
            let want = format!("sha256-{}", base64(&Sha256::digest(text)));
            assert_eq!(hash, want, "set {name} to the latter");
        }
    }

    #[test]
    fn neither_style_nor_script_can_end_its_element() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }
}
