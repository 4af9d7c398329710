//! The kernel's side of things: which hooks this machine allows, loading and attaching them, and
//! reading what they report. The only code that touches aya; it draws no conclusions.
//!
//! [`facts`] looks, [`plan`] decides (purely), [`load`] acts, [`rings`] reads, [`decode`] and
//! [`tally`] turn records into observations (purely).

mod btf;
mod decode;
mod embedded;
mod facts;
mod http;
mod load;
mod loader;
#[cfg(feature = "kernel-log")]
mod log;
mod overtaken;
mod pace;
mod patch;
mod plan;
mod rings;
pub mod settings;
mod skips;
mod tally;
mod tls;
mod tracefs;
mod trial;
mod verify;

pub use facts::{KernelFacts, Lockdown, Works, hierarchy};
pub use http::Followed;
pub use load::StartError;
pub use plan::{ConnectRung, Ladder, Plan, Refusal, ScopeRung, plan};
pub use rings::Kernel;

/// Whether bytes are a record of the kernel programs: what the fuzz target asks.
#[doc(hidden)]
pub fn is_record(bytes: &[u8]) -> bool {
    let reading = decode::Reading {
        page_bytes: 4096,
        show_query: true,
    };
    decode::decode(bytes, reading).is_ok()
}
