//! What the tracer's own place keeps it from seeing in /proc, in words.

use std::fs;

/// Inode of the initial pid namespace, the same on every machine (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What can't be seen from here.
pub(super) fn blind_spots() -> Vec<String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let pid_namespace = fs::read_link("/proc/self/ns/pid")
        .map(|target| target.to_string_lossy().into_owned())
        .unwrap_or_default();
    // Root may look into every process; hidepid and the owner checks hold for others.
    let root = rustix::process::geteuid().is_root();
    judge(&mountinfo, &pid_namespace, root)
}

fn judge(mountinfo: &str, pid_namespace: &str, root: bool) -> Vec<String> {
    let mut blind = Vec::new();
    if !root {
        blind.push(
            "environment, program and directory of other users' processes (run as root), \
             so some services are named by less"
                .to_owned(),
        );
        if hides_processes(mountinfo) {
            blind.push(
                "other users' processes that run already (/proc is mounted with hidepid)"
                    .to_owned(),
            );
        }
    }
    if !pid_namespace.is_empty() && pid_namespace != INITIAL_PID_NAMESPACE {
        blind.push(
            "processes outside of this pid namespace by name: the hooks tell pids of the host \
             (run with --pid=host)"
                .to_owned(),
        );
    }
    blind
}

/// Whether /proc is mounted with `hidepid`.
fn hides_processes(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let Some((mount, fs)) = line.split_once(" - ") else {
            return false;
        };
        let on_proc = mount.split(' ').nth(4) == Some("/proc");
        let hidden = fs.rsplit(' ').next().unwrap_or_default().split(',');
        on_proc
            && hidden
                .filter_map(|option| option.strip_prefix("hidepid="))
                .any(|value| !matches!(value, "0" | "off"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n";
    const HIDDEN: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw,gid=4,hidepid=invisible\n";

    #[test]
    fn each_restriction_is_told() {
        let count = |mountinfo, namespace, root| judge(mountinfo, namespace, root).len();
        assert_eq!(count(OPEN, INITIAL_PID_NAMESPACE, true), 0);
        assert_eq!(count(HIDDEN, INITIAL_PID_NAMESPACE, true), 0);
        assert_eq!(count(OPEN, INITIAL_PID_NAMESPACE, false), 1);
        assert_eq!(count(HIDDEN, INITIAL_PID_NAMESPACE, false), 2);
        assert_eq!(count(OPEN, "pid:[4026532177]", true), 1);
        assert_eq!(count("garbage - \n", "", true), 0);
    }
}
