//! Captures: the observation stream as a file, and back.
//!
//! A recording writes every observation that the live analysis sees. A replay feeds them to an
//! analysis of its own, which comes to the same findings. `docs/capture-format.md` specifies the file.
//! `format` has its limits and its header, `frame` the checksums and the compression, `wire` the
//! encoding of observations.
//!
//! Writing: [`Recorder`] accepts observations on the tracer's thread and never waits for the disk.
//! They pass through `queue` to `writer`, which has a thread of its own and writes to an `output` that
//! handles full disks and rotation. Reading: [`Reader`] reads one stream, [`Sources`] opens and orders
//! files, [`Replay`] feeds an analysis. This crate concludes nothing.

mod block;
mod checkpoint;
mod damage;
mod follow;
pub mod format;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod migrate;
mod output;
mod progress;
mod queue;
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

pub use damage::{Damage, Fault};
pub use format::{Gap, Header};
pub use output::{OutputError, Rotation, Target};
pub use progress::{Notice, Summary};
pub use reader::{Item, ReadError, Reader};
pub use recorder::{Recorder, Setup};
pub use replay::{Note, Replay};
pub use sources::{Source, SourceError, Sources};
