//! Snapshots of a day in every format, and properties that hold for any findings.

pub(crate) mod findings;

use jiff::tz::TimeZone;
use tracer_model::{Body, Cause, Finding, Incident, IncidentState};

use self::findings::{HOSTILE, at, day, death, finding, incident};
use super::{Composer, Format, Options, Report, write};

fn report(findings: &[Finding]) -> Report {
    let mut composer = Composer::new();
    for finding in findings {
        composer.finding(finding);
    }
    composer.finish()
}

fn written(report: &Report, format: Format) -> String {
    let options = Options {
        format,
        colour: false,
        zone: TimeZone::UTC,
    };
    let mut out = Vec::new();
    write(report, &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn snapshot(format: Format) -> Vec<u8> {
    written(&report(&day()), format).into_bytes()
}

#[test]
fn a_day_as_text() {
    insta::assert_binary_snapshot!("text.txt", snapshot(Format::Text));
}

#[test]
fn a_day_as_markdown() {
    insta::assert_binary_snapshot!("markdown.md", snapshot(Format::Md));
}

/// The page's style and script, and their placeholders in the snapshot: editing either changes only
/// its hash there.
const EMBEDDED: [(&str, &str); 2] = [
    (include_str!("html/page.css"), "/* page.css */"),
    (include_str!("html/page.js"), "// page.js"),
];

#[test]
fn a_day_as_a_page() {
    let mut page = written(&report(&day()), Format::Html);
    for (text, placeholder) in EMBEDDED {
        page = page.replace(text, placeholder);
    }
    insta::assert_binary_snapshot!("page.html", page.into_bytes());
}

#[test]
fn the_page_embeds_its_style_and_its_script_verbatim_once() {
    let page = written(&report(&day()), Format::Html);
    let [(style, _), (script, _)] = EMBEDDED;
    for element in [
        format!("<style>{style}</style>"),
        format!("<script>{script}</script>"),
    ] {
        assert_eq!(page.matches(&element).count(), 1, "{element}");
    }
}

#[test]
fn a_day_as_json() {
    insta::assert_binary_snapshot!("object.json", snapshot(Format::Json));
}

#[test]
fn hostile_text_is_inert_in_every_format() {
    let report = report(&day());
    let html = written(&report, Format::Html);
    assert_eq!(
        html.matches("<script>").count(),
        1,
        "a script that is not the page's own"
    );
    assert_eq!(html.matches("</svg>").count(), html.matches("<svg").count());
    assert!(!html.contains("\"onload"), "an event handler");

    let text = written(&report, Format::Text);
    let forbidden = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!text.contains(forbidden), "{text:?}");
    assert!(text.lines().all(|line| line.len() < 1_000), "{text}");

    let markdown = written(&report, Format::Md);
    assert!(!markdown.contains(forbidden));
    for markup in ["<script", "[a](", "@all", "|*x", "`|"] {
        assert!(!markdown.contains(markup), "{markup}: {markdown}");
    }
    let ours = ["<details><summary>One by one</summary>", "</details>"];
    let html_lines = markdown.lines().filter(|line| line.contains('<'));
    assert!(html_lines.clone().count() > 0);
    assert!(html_lines.into_iter().all(|line| ours.contains(&line)));

    let json = written(&report, Format::Json);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let services = parsed["services"]["items"].as_array().unwrap();
    assert!(
        services.iter().any(|it| it["name"] == HOSTILE),
        "the name is not verbatim"
    );
}

#[test]
fn a_table_of_markdown_has_the_same_columns_in_every_row() {
    let markdown = written(&report(&day()), Format::Md);
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut rows = 0;
    for pair in markdown.lines().collect::<Vec<_>>().windows(2) {
        if pair.iter().all(|line| line.starts_with('|')) {
            assert_eq!(columns(pair[0]), columns(pair[1]), "{pair:?}");
            rows += 1;
        }
    }
    assert!(rows > 50, "{rows}");
}

#[test]
fn missing_findings_do_not_hide_the_rest() {
    let day = day();
    for nth in 2..12 {
        for first in 0..nth {
            let some: Vec<Finding> = day.iter().skip(first).step_by(nth).cloned().collect();
            for format in [Format::Text, Format::Md, Format::Html, Format::Json] {
                assert!(!written(&report(&some), format).is_empty());
            }
        }
    }
    let backwards: Vec<Finding> = day.into_iter().rev().collect();
    assert!(written(&report(&backwards), Format::Html).contains("</html>"));
    let nothing = written(&report(&[]), Format::Text);
    assert_eq!(nothing, "tracer report\nThere are no findings.\n");
}

#[test]
fn a_flood_is_counted_and_the_most_costly_incidents_are_kept() {
    let mut composer = Composer::new();
    for id in 1..=2_000_u64 {
        let t = i64::try_from(id).unwrap() * 1_000;
        let name = format!("service-{id}");
        let mut death = death(&name, 7, Cause::Crash, "died of SIGSEGV");
        death.incident = Some(id);
        composer.finding(&finding(t, Body::Death(Box::new(death))));
        let closed = Incident {
            state: IncidentState::Closed,
            closed: Some(at(t + 500)),
            down_ms: Some(500.0),
            // The thousandth is the most costly.
            requests_failed: if id == 1_000 { 5_000 } else { id % 7 },
            ..incident(id, &name, Cause::Crash, t)
        };
        composer.finding(&finding(t + 500, Body::Incident(Box::new(closed))));
    }
    let report = composer.finish();
    assert_eq!(report.totals.incidents, 2_000);
    assert_eq!(report.incidents.items.len(), 200);
    assert_eq!(report.incidents.left_out, 1_800);
    assert!((report.totals.down_ms - 1_000_000.0).abs() < 1e-6);
    assert!(report.incidents.items.iter().any(|it| it.id == 1_000));
    assert_eq!(report.services.items.len(), 50);
    assert!(report.lanes.items.len() <= 12);
    let page = written(&report, Format::Html);
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.contains("1800 less costly incidents"));
}
