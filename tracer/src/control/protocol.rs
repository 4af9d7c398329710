//! The messages on the control socket: a request and an answer, one line of JSON each. Pure; the
//! parser accepts any bytes and reads at most [`MAX_REQUEST`] of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracer_model::{Pid, printable};

/// Longest request in bytes, including its newline.
pub const MAX_REQUEST: usize = 4096;
/// Longest answer in bytes, including its newline.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Longest label of a mark, in characters.
pub const MAX_LABEL: usize = 200;
/// How many open incidents an answer lists.
pub const MAX_INCIDENTS: usize = 100;

/// A request to a tracer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Add a mark to its stream of observations.
    Mark {
        /// The text of the mark.
        label: String,
    },
    /// Send its status.
    Status,
}

/// A tracer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The mark was added.
    Marked {
        /// The tracer's process id.
        pid: Pid,
        /// `watch`, `record` …
        command: String,
    },
    /// Its status.
    Status(Box<Status>),
    /// The request was refused.
    Refused {
        /// The reason.
        why: String,
    },
}

/// A running tracer and its totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Its process id.
    pub pid: Pid,
    /// `watch`, `record`, `top`, `deploy`.
    pub command: String,
    /// Its version.
    pub version: String,
    /// When its hooks were armed: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The file it records to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// How many hooks are armed.
    pub hooks_armed: usize,
    /// How many hooks there are in total.
    pub hooks: usize,
    /// How many services run now.
    pub services: usize,
    /// Findings so far, by kind.
    pub findings: BTreeMap<String, u64>,
    /// Open incidents.
    pub incidents_open: Vec<OpenIncident>,
    /// Events lost so far.
    pub events_lost: u64,
}

/// An open incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenIncident {
    /// Its id.
    pub id: u64,
    /// The service that it is about.
    pub service: String,
    /// Its cause in words.
    pub summary: String,
    /// When it opened: RFC 3339.
    pub opened: String,
}

/// Why a request was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is too long.
    #[error("a request must be at most {MAX_REQUEST} bytes long")]
    TooLong,
    /// It is not one of the known requests.
    #[error("not a valid request: {0}")]
    Invalid(String),
    /// A mark without a label.
    #[error("the label must not be empty")]
    NoLabel,
}

impl Request {
    /// Parses a request. Labels are cleaned, so that they can be stored and printed.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        if line.len() > MAX_REQUEST {
            return Err(RequestError::TooLong);
        }
        let request: Self = serde_json::from_slice(line)
            .map_err(|error| RequestError::Invalid(error.to_string()))?;
        Ok(match request {
            Self::Mark { label } => Self::Mark {
                label: clean_label(&label).ok_or(RequestError::NoLabel)?,
            },
            Self::Status => Self::Status,
        })
    }
}

/// A label with its control characters escaped, cut to [`MAX_LABEL`]; none if it is empty.
pub fn clean_label(outside: &str) -> Option<String> {
    let mut label = String::new();
    // Characters beyond the limit are not even escaped.
    let start: String = outside.trim().chars().take(MAX_LABEL + 1).collect();
    let shown = printable(&start);
    for (index, c) in shown.chars().enumerate() {
        if index == MAX_LABEL {
            label.pop();
            label.push('…');
            break;
        }
        label.push(c);
    }
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed_and_labels_cleaned() {
        assert_eq!(
            Request::parse(b"{\"ask\":\"status\"}\n"),
            Ok(Request::Status)
        );
        let mark = Request::parse(br#"{"ask":"mark","label":" deploy\u001b[2J 42\n "}"#);
        assert_eq!(
            mark,
            Ok(Request::Mark {
                label: "deploy\\x1b[2J 42".to_owned()
            })
        );
        let empty = Request::parse(br#"{"ask":"mark","label":"  "}"#);
        assert_eq!(empty, Err(RequestError::NoLabel));
    }

    #[test]
    fn labels_are_bounded_whatever_characters_they_contain() {
        for text in ["界", "x", "\u{202e}", "\u{1b}"] {
            let label = clean_label(&text.repeat(100_000)).unwrap();
            assert_eq!(label.chars().count(), MAX_LABEL, "{label}");
            assert!(label.ends_with('…'));
        }
        let just = "y".repeat(MAX_LABEL);
        assert_eq!(clean_label(&just), Some(just));
    }

    #[test]
    fn the_longest_label_fits_into_a_request() {
        let label = clean_label(&"\u{1F980}".repeat(1000)).unwrap();
        let line = serde_json::to_vec(&Request::Mark { label }).unwrap();
        assert!(line.len() < MAX_REQUEST);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(line: Vec<u8>) {
            let _ = Request::parse(&line);
        }

        #[test]
        fn any_label_can_be_printed(text: String) {
            if let Some(label) = clean_label(&text) {
                assert!(label.chars().count() <= MAX_LABEL);
                assert_eq!(printable(&label), label);
            }
        }
    }

    #[test]
    fn deep_nesting_is_rejected() {
        let deep = "[".repeat(4000);
        assert!(matches!(
            Request::parse(deep.as_bytes()),
            Err(RequestError::Invalid(_))
        ));
    }
}
