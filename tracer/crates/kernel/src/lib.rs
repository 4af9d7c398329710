//! The kernel side of the tracer in userspace: finds out which hooks this machine allows, loads and
//! attaches the kernel programs, and reads their records. The only code that touches aya; it
//! concludes nothing.
//!
//! | stage | modules |
//! |---|---|
//! | look at the machine | [`facts`], with [`btf`], [`tracefs`] and [`trial`] |
//! | decide, purely | [`plan`] |
//! | load and attach | [`object`] and [`attach`]; for proxies [`http`] and [`tls`] |
//! | read | [`rings`], with [`pace`], [`oom_order`], [`connect_counters`] and [`losses`] |
//! | turn records into observations, purely | [`decode`], [`tally`] |

mod attach;
mod aya_loader;
mod btf;
mod connect_counters;
mod counter_key;
mod decode;
mod embedded;
mod error;
mod facts;
mod hooks;
mod http;
#[cfg(feature = "kernel-log")]
mod log;
mod losses;
mod object;
mod oom_order;
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

pub use error::{Failure, StartError};
pub use facts::{KernelFacts, Lockdown, Works, hierarchy};
pub use http::Followed;
pub use plan::{ConnectRung, Ladder, Plan, Refusal, ScopeRung, plan};
pub use rings::Kernel;

/// Whether bytes are a valid record of the kernel programs, for the fuzz target and the benchmark.
#[doc(hidden)]
pub fn is_record(bytes: &[u8]) -> bool {
    let options = decode::DecodeOptions {
        page_bytes: 4096,
        show_query: true,
    };
    decode::decode(bytes, options).is_ok()
}
