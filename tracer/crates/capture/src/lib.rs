//! Captures: the observation stream as a file, and back.
//!
//! What analysis is fed live is written between `observe` and `analyze`; a replay feeds the same to
//! an analysis of its own and so comes to the same findings. `docs/capture-format.md` specifies the
//! file. `format` has its limits and what it says about itself, `frame` what is checked by
//! checksum, `wire` the encoding of what is inside.
//!
//! Writing: [`Recorder`] takes observations on the tracer's thread and never waits for the disk;
//! `writer` does, on a thread of its own, over an `output` that knows about full disks and rotation.
//! Reading: [`Reader`] takes one stream apart, [`Sources`] opens and orders files, [`Replay`] feeds
//! an analysis.

mod block;
mod checkpoint;
mod follow;
pub mod format;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod migrate;
mod output;
mod reader;
mod recorder;
mod replay;
mod sources;
#[cfg(any(test, feature = "fixtures"))]
#[doc(hidden)]
pub mod story;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

pub use format::{Gap, Header};
pub use output::{OutputError, Rotation, Target};
pub use reader::{Damage, Item, ReadError, Reader};
pub use recorder::{Notice, Recorder, Setup, Summary};
pub use replay::{Note, Replay};
pub use sources::{Source, SourceError, Sources};
