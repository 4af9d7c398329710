//! What is known of the machine: processes, listeners, cgroups, containers, and which service each
//! belongs to. Draws no conclusions about what happened; the correlators do.

mod cgroups;
mod listeners;
mod machine;
mod names;
mod processes;
mod proxies;
mod services;

pub use cgroups::{Cgroup, Cgroups, Containers};
pub use listeners::{Change, Hold, Listeners, Listening, Place};
pub use machine::World;
pub use names::{ServiceKey, is_shell, key_of, same};
pub use processes::{Exited, Process, Processes};
pub use services::ServiceView;
