//! How a message of the format becomes a value of the model and back, and the conversions that the
//! messages share.

/// A field has a value that the format does not allow, or that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value of field `{0}`")]
pub(crate) struct Unknown(pub(crate) &'static str);

/// A message of the format and the type of the model that it encodes.
pub(crate) trait Wire: Sized {
    /// The type of the model.
    type Model;

    /// Encodes every field of `model`.
    fn of(model: &Self::Model) -> Self;

    /// Decodes the message. A missing field gets its default.
    fn model(self) -> Result<Self::Model, Unknown>;
}

/// Encodes a nested message. Protocol Buffers make every nested message optional.
#[expect(clippy::unnecessary_wraps, reason = "every use needs the Some")]
pub(super) fn some<W: Wire>(model: &W::Model) -> Option<W> {
    Some(W::of(model))
}

/// Decodes a nested message that is always written. If it is missing, all its fields get defaults.
pub(super) fn required<W: Wire + Default>(wire: Option<W>) -> Result<W::Model, Unknown> {
    wire.unwrap_or_default().model()
}

/// Decodes a nested message that may be missing.
pub(super) fn optional<W: Wire>(wire: Option<W>) -> Result<Option<W::Model>, Unknown> {
    wire.map(Wire::model).transpose()
}

/// Encodes a repeated nested message.
pub(super) fn all<W: Wire>(models: &[W::Model]) -> Vec<W> {
    models.iter().map(W::of).collect()
}

/// Decodes a repeated nested message.
pub(super) fn list<W: Wire, L: FromIterator<W::Model>>(wires: Vec<W>) -> Result<L, Unknown> {
    wires.into_iter().map(Wire::model).collect()
}

/// Encodes a list of texts.
pub(super) fn texts(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Decodes a list of texts.
pub(super) fn boxed(texts: Vec<String>) -> Box<[Box<str>]> {
    texts.into_iter().map(Into::into).collect()
}

/// Encodes a text that may be missing.
pub(super) fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// A duration in nanoseconds, 584 years at most.
pub(super) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Decodes a number that the model keeps in 16 bits.
pub(super) fn short(field: &'static str, number: u32) -> Result<u16, Unknown> {
    u16::try_from(number).map_err(|_| Unknown(field))
}

/// Decodes a number that the model keeps in 8 bits.
pub(super) fn byte(field: &'static str, number: u32) -> Result<u8, Unknown> {
    u8::try_from(number).map_err(|_| Unknown(field))
}
