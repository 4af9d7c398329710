//! Measurements of the tracer itself.

pub mod events;
pub mod itself;
pub mod latency;
pub mod programs;
pub mod storm;

/// A number, its meaning, and its aim.
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// Digits after the decimal point.
    pub digits: usize,
    pub aim: Aim,
}

#[derive(Clone, Copy)]
pub enum Aim {
    None,
    AtMost(f64),
    Zero,
}

impl Figure {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str, digits: usize) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            digits,
            aim: Aim::None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn count(what: impl Into<String>, value: u64) -> Self {
        Self::new(what, value as f64, "", 0)
    }

    pub fn at_most(self, most: f64) -> Self {
        Self {
            aim: Aim::AtMost(most),
            ..self
        }
    }

    pub fn zero(self) -> Self {
        Self {
            aim: Aim::Zero,
            ..self
        }
    }
}
