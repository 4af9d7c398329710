//! A verdict: the cause of a death and the words for it.

use std::borrow::Cow;

use tracer_model::Cause;
use tracer_model::quantity::{bytes, duration};

use super::evidence::Evidence;

/// The verdict. Most deaths are clean exits that are not reported, so no more text is made than the
/// cause needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// A few words: `OOM (cgroup limit 2.0 GiB)`.
    pub summary: Cow<'static, str>,
    /// One sentence, without what `tail` adds.
    said: Cow<'static, str>,
    tail: Tail,
}

/// How the sentence about a death ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// As it is.
    Nothing,
    /// `, up 3m12s`.
    Up,
    /// `, peak 1.98 GiB, up 3m12s`.
    PeakAndUp,
}

impl Verdict {
    pub(super) fn new(
        cause: Cause,
        said: impl Into<Cow<'static, str>>,
        tail: Tail,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            cause,
            summary: summary.into(),
            said: said.into(),
            tail,
        }
    }

    /// One sentence. `evidence` is what the verdict was based on.
    pub fn why(&self, evidence: &Evidence) -> String {
        let said = &self.said;
        match self.tail {
            Tail::PeakAndUp if evidence.peak_bytes != 0 => {
                format!(
                    "{said}, peak {}{}",
                    bytes(evidence.peak_bytes),
                    up(evidence)
                )
            }
            Tail::PeakAndUp | Tail::Up => format!("{said}{}", up(evidence)),
            Tail::Nothing => said.clone().into_owned(),
        }
    }
}

fn up(evidence: &Evidence) -> String {
    format!(", up {}", duration(evidence.uptime))
}
