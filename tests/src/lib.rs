//! What the tests share: a running tracer and its findings, processes that are cleaned up, memory
//! cgroups, network namespaces, ports, stacks of real software. The programs that misbehave are
//! in `bin/` and `../fixtures/`.

mod binary;
pub mod browser;
pub mod cgroup;
pub mod netns;
mod patience;
mod port;
mod privilege;
pub mod process;
pub mod program;
pub mod schema;
pub mod stack;
pub mod tmux;
pub mod tracer;

pub use binary::{binary, run_tracer};
pub use browser::Browser;
pub use cgroup::MemoryCgroup;
pub use netns::NetNamespace;
pub use patience::{slowness, wait_until};
pub use port::free_port;
pub use privilege::need_root;
pub use process::{Guard, fixture};
pub use program::Program;
pub use tracer::Tracer;
