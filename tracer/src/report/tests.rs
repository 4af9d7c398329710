//! Goldens of a day in every form, and what must hold for any findings.

pub(crate) mod findings;

use jiff::tz::TimeZone;

use self::findings::{HOSTILE, day};
use super::{Builder, Format, Options, Report, write};
use crate::model::Finding;

fn report(findings: &[Finding]) -> Report {
    let mut builder = Builder::new();
    for finding in findings {
        builder.finding(finding);
    }
    builder.finish()
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

fn golden(format: Format) -> Vec<u8> {
    written(&report(&day()), format).into_bytes()
}

#[test]
fn a_day_as_text() {
    insta::assert_binary_snapshot!("text.txt", golden(Format::Text));
}

#[test]
fn a_day_as_markdown() {
    insta::assert_binary_snapshot!("markdown.md", golden(Format::Md));
}

#[test]
fn a_day_as_a_page() {
    insta::assert_binary_snapshot!("page.html", golden(Format::Html));
}

#[test]
fn a_day_as_json() {
    insta::assert_binary_snapshot!("object.json", golden(Format::Json));
}

#[test]
fn hostile_text_is_inert_in_every_form() {
    assert!(HOSTILE.contains("<script>"));
    let html = golden(Format::Html);
    let html = String::from_utf8(html).unwrap();
    assert_eq!(html.matches("<script>").count(), 1, "only the page's own");
}
