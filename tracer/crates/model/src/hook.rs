//! A hook, as findings and captures list it.

use schemars::JsonSchema;
use serde::Serialize;

/// A hook, and how it is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hook {
    /// What it observes: `exit`, `oom_mark`, `oom_scope`, `unix_connect` …
    pub name: String,
    /// The rung of the ladder in use: `raw_tracepoint sched_process_exit`, `kmsg` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether it works.
    pub ok: bool,
    /// Why it does not work, or why no better rung is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
