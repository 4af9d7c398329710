//! The outcome of a command, and its exit code.

use std::process::ExitCode;

/// The outcome of a command; the exit codes are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0.
    Success,
    /// 1: the command ran, and its answer is negative (`doctor`, `demo`).
    Negative,
    /// 3: a finding of a `--fail-on` kind happened.
    FailOn,
    /// The exit code of the command that `deploy` ran, or of the verdict on it.
    Deployment(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Success => 0,
            Outcome::Negative => 1,
            Outcome::FailOn => 3,
            Outcome::Deployment(code) => code,
        })
    }
}
