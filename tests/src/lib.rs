//! What the tests share: a running tracer whose findings can be waited for, processes that are
//! cleaned up, memory cgroups, network namespaces, stacks of real software. The programs that
//! misbehave are in `bin/` and `../fixtures/`.

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

/// Fails the test when it does not run as root: a test that can't run never passes.
#[track_caller]
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
}
