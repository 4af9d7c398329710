//! A report as one page that needs no other file and no network. Only its own small script runs, and
//! the page is readable without it.
//!
//! The style is one file, in the order of the page.
//!
//! The page's content security policy (CSP) forbids everything else: if an escape were ever missing,
//! injected code could neither run nor call home.

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
use super::clock::Clock;
use super::formatting;
use super::model::{IncidentReport, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// SHA-256 of [`STYLE`] and [`SCRIPT`] for the policy. A test checks them.
const STYLE_HASH: &str = "sha256-yVNibUc2a0dfdkxbtwYISQrvERJg+o9qibDAFswHo3E=";
const SCRIPT_HASH: &str = "sha256-FFmxqlUSYMaBUnbEcYPaWR59yz3sNPM3hqK10cGjNgc=";

/// Writes it to `out`.
pub(super) fn write(report: &Report, zone: TimeZone, out: &mut impl Write) -> io::Result<()> {
    let clock = Clock::new(report, zone);
    out.write_all(page(report, &clock).into_string().as_bytes())
}

/// The most costly incident. Requested stops come last.
fn worst(report: &Report) -> Option<&IncidentReport> {
    let unwanted = |it: &IncidentReport| it.cause != Cause::Clean;
    let down = |it: &IncidentReport| it.down_ms.unwrap_or(0.0);
    report.incidents.items.iter().max_by(|a, b| {
        (a.requests.count.cmp(&b.requests.count))
            .then(unwanted(a).cmp(&unwanted(b)))
            .then(a.connects_failed.cmp(&b.connects_failed))
            .then(down(a).total_cmp(&down(b)))
            // Among equals, the first.
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
                "Press an arrow key to go to the next event, " kbd { "+" } " or " kbd { "−" } " ("
                kbd { "Ctrl" } " and the wheel) to zoom, " kbd { "0" } " to reset. Drag to move."
            }
            @if left_out > 0 {
                p.more { (formatting::counted(left_out, "more service appears", "more services appear")) " only in the tables." }
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
            assert_eq!(hash, want, "set {name} to the second value");
        }
    }

    #[test]
    fn neither_style_nor_script_can_close_its_element() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }
}
