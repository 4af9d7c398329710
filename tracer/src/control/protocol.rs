//! What is said on the control socket: a request and an answer, a line of JSON each. Pure; the
//! parser is total and takes no more than [`MAX_REQUEST`] bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use tracer_model::{Pid, printable};

/// Longest request, bytes, its newline included.
pub const MAX_REQUEST: usize = 4096;
/// Longest answer, bytes, its newline included.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Longest label of a mark, in characters.
pub const MAX_LABEL: usize = 200;
/// How many open incidents an answer tells.
pub const MAX_INCIDENTS: usize = 100;

/// What a tracer can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// To put a mark into its stream.
    Mark {
        /// What the mark says.
        label: String,
    },
    /// What it is and has seen.
    Status,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The mark is in the stream.
    Marked {
        /// Who answers.
        pid: Pid,
        /// `watch`, `record` …
        command: String,
    },
    /// What it is and has seen.
    Status(Box<Status>),
    /// It could not be done.
    Refused {
        /// Why.
        why: String,
    },
}

/// What a running tracer is and has seen.
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
    /// Where it records to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// Hooks that work.
    pub hooks_armed: usize,
    /// Hooks that were wanted.
    pub hooks: usize,
    /// Services that run now.
    pub services: usize,
    /// Findings so far, by kind.
    pub findings: BTreeMap<String, u64>,
    /// Incidents that are open.
    pub incidents_open: Vec<OpenIncident>,
    /// Events lost so far.
    pub events_lost: u64,
}

/// An incident that is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenIncident {
    /// Its number.
    pub id: u64,
    /// Whose.
    pub service: String,
    /// Its cause in words.
    pub summary: String,
    /// Since when: RFC 3339.
    pub opened: String,
}

/// Why a request was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is too long.
    #[error("a request has at most {MAX_REQUEST} bytes")]
    TooLong,
    /// It is none.
    #[error("not a request: {0}")]
    NotOne(String),
    /// A mark without a label.
    #[error("a mark needs a label")]
    NoLabel,
}

impl Request {
    /// Reads one; labels come out fit to be kept and shown.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        if line.len() > MAX_REQUEST {
            return Err(RequestError::TooLong);
        }
        let request: Self = serde_json::from_slice(line)
            .map_err(|error| RequestError::NotOne(error.to_string()))?;
        Ok(match request {
            Self::Mark { label } => Self::Mark {
                label: clean_label(&label).ok_or(RequestError::NoLabel)?,
            },
            Self::Status => Self::Status,
        })
    }
}

/// A label without control characters and the like, and not too long; None when nothing is left.
pub fn clean_label(outside: &str) -> Option<String> {
    let mut label = String::new();
    // What lies beyond is not even escaped.
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
    fn requests_are_read_and_labels_made_fit() {
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
    fn labels_are_bounded_whatever_they_are_made_of() {
        for text in ["界", "x", "\u{202e}", "\u{1b}"] {
            let label = clean_label(&text.repeat(100_000)).unwrap();
            assert_eq!(label.chars().count(), MAX_LABEL, "{label}");
            assert!(label.ends_with('…'));
        }
        let just = "y".repeat(MAX_LABEL);
        assert_eq!(clean_label(&just), Some(just));
    }

    #[test]
    fn a_request_always_has_room_for_the_longest_label() {
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
        fn any_label_is_fit_to_be_shown(text: String) {
            if let Some(label) = clean_label(&text) {
                assert!(label.chars().count() <= MAX_LABEL);
                assert_eq!(printable(&label), label);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_harm() {
        let deep = "[".repeat(4000);
        assert!(matches!(
            Request::parse(deep.as_bytes()),
            Err(RequestError::NotOne(_))
        ));
    }
}
