//! The encoding of observations: Protocol Buffers, as `docs/capture.proto` describes them.
//!
//! These types are the format. They are separate from the model's types, so a change of the model
//! can't change the format by accident. Each type here converts to and from its type of the model by
//! naming every field: a field that is added to the model does not compile until it has a number here.
//! It needs one in `capture.proto` too, and the tests decode what is written with that file alone.

mod event;
mod header;
mod http;
mod memory;
mod message;
mod process;
mod socket;

pub(super) use event::{Block, Event};
pub(super) use header::{Gap, Header};
pub(super) use message::{Unknown, Wire};
