//! The result of one check.

use std::process::Command;

use anyhow::Result;

use crate::run;

/// The result of one check.
pub(super) enum Verdict {
    Passed,
    Failed,
    /// Not checked, and why.
    Unchecked(String),
}

impl Verdict {
    /// Shows and runs `command`, which is the check.
    pub(super) fn of(mut command: Command) -> Result<Self> {
        Ok(Self::from(run::status(&mut command)?.success()))
    }
}

impl From<bool> for Verdict {
    fn from(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}
