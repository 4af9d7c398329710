//! The `[[service]]` rules of tracer.toml.

/// The rules; none by default.
#[derive(Clone, Debug, Default)]
pub struct Rules;

impl Rules {
    /// No rules.
    pub fn none() -> Self {
        Self
    }
}
