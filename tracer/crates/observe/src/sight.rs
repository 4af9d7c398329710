//! What the tracer's privileges and namespaces prevent it from seeing in /proc, in words.

use std::fs;

/// Inode of the initial pid namespace, the same on every machine (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What limits the tracer's view of /proc.
pub(super) struct Sight {
    /// Root may inspect every process; `hidepid` and owner checks restrict other users.
    root: bool,
    /// /proc does not show other users' processes.
    hidden: bool,
    /// /proc shows only some processes, and under other pids than the hooks report.
    apart: bool,
}

impl Sight {
    /// Finds out for this process.
    pub(super) fn here() -> Self {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let pid_namespace = fs::read_link("/proc/self/ns/pid")
            .map(|target| target.to_string_lossy().into_owned())
            .unwrap_or_default();
        let root = rustix::process::geteuid().is_root();
        Self::judge(&mountinfo, &pid_namespace, root)
    }

    fn judge(mountinfo: &str, pid_namespace: &str, root: bool) -> Self {
        Self {
            root,
            hidden: !root && hides_processes(mountinfo),
            apart: !pid_namespace.is_empty() && pid_namespace != INITIAL_PID_NAMESPACE,
        }
    }

    /// Whether a process that is not found does not exist.
    pub(super) fn shows_all(&self) -> bool {
        !self.hidden && !self.apart
    }

    /// The blind spots.
    pub(super) fn blind_spots(&self) -> Vec<String> {
        let restrictions = [
            (
                !self.root,
                "environment, executable and working directory of other users' processes, so some \
                 services can't be named precisely (run as root)",
            ),
            (
                self.hidden,
                "other users' processes that are already running (/proc is mounted with hidepid; run as root)",
            ),
            (
                self.apart,
                "names of processes outside this pid namespace, because the hooks report pids of the \
                 host (run with --pid=host)",
            ),
        ];
        restrictions
            .into_iter()
            .filter(|(restricted, _)| *restricted)
            .map(|(_, what)| what.to_owned())
            .collect()
    }
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
    fn each_restriction_is_a_blind_spot() {
        let seen = |mountinfo, namespace, root| {
            let sight = Sight::judge(mountinfo, namespace, root);
            (sight.blind_spots().len(), sight.shows_all())
        };
        assert_eq!(seen(OPEN, INITIAL_PID_NAMESPACE, true), (0, true));
        assert_eq!(seen(HIDDEN, INITIAL_PID_NAMESPACE, true), (0, true));
        assert_eq!(seen(OPEN, INITIAL_PID_NAMESPACE, false), (1, true));
        assert_eq!(seen(HIDDEN, INITIAL_PID_NAMESPACE, false), (2, false));
        assert_eq!(seen(OPEN, "pid:[4026532177]", true), (1, false));
        assert_eq!(seen("garbage - \n", "", true), (0, true));
    }
}
