//! Command lines that start the node worker under a manager.

use std::path::Path;
use std::time::Duration;

use super::asset::asset;
use super::resident::keep_node_resident;
use crate::cgroup::MemoryCgroup;

/// Time from the start of an application until it listens: long enough for requests to fail.
pub const WARM_UP: Duration = Duration::from_millis(800);

/// The command line of a node worker as an administrator would write it. A shell puts it in a
/// cgroup.
pub fn worker_command(cgroup: Option<&MemoryCgroup>) -> String {
    node_command(cgroup, &asset("worker.js"))
}

/// The same for another script.
pub fn node_command(cgroup: Option<&MemoryCgroup>, script: &Path) -> String {
    let script = script.display();
    match cgroup {
        Some(cgroup) => {
            keep_node_resident();
            let procs = cgroup.procs();
            format!("sh -c 'echo $$ > {}; exec node {script}'", procs.display())
        }
        None => format!("node {script}"),
    }
}
