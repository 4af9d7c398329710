//! The encoding of observations: Protocol Buffers, as `docs/capture.proto` describes them.
//!
//! These types are the format; the model's are not, so that a change of the model never changes
//! the format by accident. Each type here converts to and from the model's by naming every field:
//! a field added there does not compile until it is given a number here (and in the `.proto`;
//! the tests read what is written by it).

mod event;
mod header;
mod http;
mod memory;
mod process;
mod socket;

pub(super) use event::{Block, Event};
pub(super) use header::{Gap, Header};

/// What was read is not what the format allows; the field it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of `{0}` that this version does not know")]
pub(super) struct Unknown(pub(super) &'static str);

/// A message of the format, and the model's type that it stands for.
pub(super) trait Wire: Sized {
    /// The model's type.
    type Model;

    /// Writes every field of `model`.
    fn of(model: &Self::Model) -> Self;

    /// Reads it back; what is missing has its default.
    fn model(self) -> Result<Self::Model, Unknown>;
}

/// A message inside another: such fields are optional for Protocol Buffers.
#[expect(clippy::unnecessary_wraps, reason = "every use needs the Some")]
fn some<W: Wire>(model: &W::Model) -> Option<W> {
    Some(W::of(model))
}

/// A message inside another that is always written: when it is missing, one without fields.
fn required<W: Wire + Default>(wire: Option<W>) -> Result<W::Model, Unknown> {
    wire.unwrap_or_default().model()
}

/// A message inside another that may be missing.
fn optional<W: Wire>(wire: Option<W>) -> Result<Option<W::Model>, Unknown> {
    wire.map(Wire::model).transpose()
}

/// Messages inside another.
fn all<W: Wire>(models: &[W::Model]) -> Vec<W> {
    models.iter().map(W::of).collect()
}

/// Messages inside another, read back.
fn list<W: Wire, L: FromIterator<W::Model>>(wires: Vec<W>) -> Result<L, Unknown> {
    wires.into_iter().map(Wire::model).collect()
}

/// Texts.
fn texts(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Texts, read back.
fn boxed(texts: Vec<String>) -> Box<[Box<str>]> {
    texts.into_iter().map(Into::into).collect()
}

/// Text that may be missing.
fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// Nanoseconds of a duration: 584 years at most.
fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number that the model keeps in 16 bits.
fn short(field: &'static str, number: u32) -> Result<u16, Unknown> {
    u16::try_from(number).map_err(|_| Unknown(field))
}

/// A number that the model keeps in 8 bits.
fn byte(field: &'static str, number: u32) -> Result<u8, Unknown> {
    u8::try_from(number).map_err(|_| Unknown(field))
}
