//! What CI services show of a deployment: annotations on GitHub, a section of the log on GitLab. Text
//! from outside is escaped so that it can't be a command to the CI service. Pure.

use tracer_model::printable;

use super::model::Verdict;
use super::sentences::Tone;

/// GitHub keeps ten annotations of each kind per step.
const MAX_ANNOTATIONS: usize = 10;

/// GitHub's `::error` and `::warning` lines of a verdict.
pub fn github_annotations(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict
        .failures
        .iter()
        .map(|reason| format!("::error title=tracer deploy::{}", github(&reason.what)))
        .take(MAX_ANNOTATIONS)
        .collect();
    let warnings = verdict
        .lines()
        .into_iter()
        .filter(|line| line.tone == Tone::Bad && !line.about.is_empty())
        .map(|line| {
            format!(
                "::warning title=tracer deploy::{}",
                github(&format!("{}: {}", line.about, line.what))
            )
        });
    lines.extend(warnings.take(MAX_ANNOTATIONS));
    lines
}

/// Text as the message of a command to GitHub.
fn github(outside: &str) -> String {
    printable(outside)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The beginning and the end of a section of GitLab's log, at seconds since 1970.
pub fn gitlab_section(seconds: i64) -> (String, String) {
    (
        format!(
            "\x1b[0Ksection_start:{seconds}:tracer_deploy[collapsed=false]\r\x1b[0Ktracer deploy"
        ),
        format!("\x1b[0Ksection_end:{seconds}:tracer_deploy\r\x1b[0K"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::model::Reason;
    use super::*;

    #[test]
    fn a_gitlab_section_begins_and_ends_with_the_same_name() {
        let (begin, end) = gitlab_section(1_700_000_000);
        let name = "1700000000:tracer_deploy";
        assert!(begin.starts_with(&format!("\x1b[0Ksection_start:{name}[collapsed=false]\r")));
        assert_eq!(end, format!("\x1b[0Ksection_end:{name}\r\x1b[0K"));
    }

    #[test]
    fn text_from_outside_cannot_be_a_command_to_github() {
        let verdict = Verdict {
            command: "x".to_owned(),
            exited: None,
            ran_ms: 0,
            watched_ms: 0,
            failures: vec![Reason {
                kind: "death",
                what: "web\n::set-output name=x::100%\r\u{1b}[2J died".to_owned(),
            }],
            services: Vec::new(),
            services_left_out: 0,
            requests: Vec::new(),
            requests_failed: 0,
            events_lost: 0,
        };
        assert_eq!(
            github_annotations(&verdict),
            ["::error title=tracer deploy::web\\n::set-output name=x::100%25\\r\\x1b[2J died"]
        );
    }
}
