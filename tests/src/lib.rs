//! What the tests share: a running tracer whose findings can be waited for, processes that are
//! cleaned up, memory cgroups, network namespaces, stacks of real software. The programs that
//! misbehave are in `bin/` and `../fixtures/`.

use std::time::Duration;

pub mod browser;
pub mod cgroup;
pub mod netns;
pub mod process;
pub mod program;
pub mod schema;
pub mod stack;
pub mod tmux;
pub mod tracer;

pub use browser::Browser;
pub use cgroup::MemoryCgroup;
pub use netns::NetNamespace;
pub use process::{Guard, fixture, free_port};
pub use program::Program;
pub use tracer::{Tracer, binary, ended};

/// How long to wait for what should take `limit` at most: `TRACER_TEST_PATIENCE` times as long,
/// where it is set. Emulated machines are slow.
pub fn patient(limit: Duration) -> Duration {
    limit * slowness()
}

/// How many times slower than usual this machine is said to be, at least 1.
pub fn slowness() -> u32 {
    let times = std::env::var("TRACER_TEST_PATIENCE").ok();
    times
        .and_then(|times| times.parse().ok())
        .map_or(1, |times: u32| times.max(1))
}

/// Fails the test when it does not run as root: a test that can't run never passes.
#[track_caller]
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
}
