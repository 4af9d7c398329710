//! Cgroups in the file system: paths, ids and memory limits, in v1 and v2.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::model::Hierarchy;

/// Directories walked at start-up; a machine with more has its rest looked up when it is needed.
const MAX_CGROUPS: usize = 20_000;

/// v1 tells "no limit" as the largest number of pages.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// The mounted hierarchy whose ids the hooks tell.
#[derive(Debug)]
pub(super) struct CgroupTree {
    /// Where it is mounted; `None` when it isn't.
    mount: Option<PathBuf>,
    limit_file: &'static str,
}

impl CgroupTree {
    pub(super) fn find(hierarchy: Hierarchy) -> Self {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            mount: mount_of(&mountinfo, hierarchy),
            limit_file: match hierarchy {
                Hierarchy::Unified => "memory.max",
                Hierarchy::MemoryV1 => "memory.limit_in_bytes",
            },
        }
    }

    /// The hierarchy's directory for a path from its root.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        // A path from outside must not lead out of the tree.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        Some(self.mount.as_ref()?.join(path.trim_start_matches('/')))
    }

    /// Id of the cgroup at `path`: the inode of its directory is its kernfs id.
    pub(super) fn id(&self, path: &str) -> Option<u64> {
        Some(fs::metadata(self.directory(path)?).ok()?.ino())
    }

    /// Memory limit of the cgroup at `path` itself, bytes.
    pub(super) fn limit_bytes(&self, path: &str) -> Option<u64> {
        let text = fs::read_to_string(self.directory(path)?.join(self.limit_file)).ok()?;
        parse_limit(&text)
    }

    /// The nearest of `path` and its ancestors that has a limit.
    pub(super) fn nearest_limit(&self, path: &str) -> Option<(u64, String)> {
        let mut path = path.trim_end_matches('/');
        loop {
            let shown = if path.is_empty() { "/" } else { path };
            if let Some(limit) = self.limit_bytes(shown) {
                return Some((limit, shown.to_owned()));
            }
            path = &path[..path.rfind('/')?];
        }
    }

    /// All cgroups: id, path, limit. Bounded.
    pub(super) fn walk(&self) -> Vec<(u64, String, Option<u64>)> {
        let mut found = Vec::new();
        let mut waiting = vec![String::from("/")];
        while let Some(path) = waiting.pop() {
            if found.len() >= MAX_CGROUPS {
                break;
            }
            let Some(directory) = self.directory(&path) else {
                break;
            };
            if let Some(id) = self.id(&path) {
                found.push((id, path.clone(), self.limit_bytes(&path)));
            }
            let children = fs::read_dir(&directory).into_iter().flatten().flatten();
            for child in children {
                if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = child.file_name();
                    waiting.push(format!(
                        "{}/{}",
                        path.trim_end_matches('/'),
                        name.to_string_lossy()
                    ));
                }
            }
        }
        found
    }
}

fn parse_limit(text: &str) -> Option<u64> {
    text.trim()
        .parse()
        .ok()
        .filter(|&limit| limit < UNLIMITED_BYTES)
}

/// Where a hierarchy is mounted, by /proc/self/mountinfo.
fn mount_of(mountinfo: &str, hierarchy: Hierarchy) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, fs) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?;
        let mut fs = fs.split(' ');
        let kind = fs.next()?;
        let options = fs.nth(1).unwrap_or_default();
        let fits = match hierarchy {
            Hierarchy::Unified => kind == "cgroup2",
            Hierarchy::MemoryV1 => {
                kind == "cgroup" && options.split(',').any(|option| option == "memory")
            }
        };
        fits.then(|| Path::new(&unescape(at)).to_path_buf())
    })
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok());
        if let Some(code) = code {
            plain.push(char::from(code));
            rest = &rest[at + 4..];
        } else {
            plain.push('\\');
            rest = &rest[at + 1..];
        }
    }
    plain.push_str(rest);
    plain
}

/// The path that says most about a process's service, from /proc/PID/cgroup: the unified
/// hierarchy's, unless the process is in its root; then v1's `name=systemd`, `memory`, any other.
pub(super) fn telling_path(proc_cgroup: &str) -> Option<&str> {
    let rank = |controllers: &str| match controllers {
        "" => 0,
        "name=systemd" => 1,
        other if other.split(',').any(|one| one == "memory") => 2,
        _ => 3,
    };
    let lines = proc_cgroup.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((path == "/", rank(controllers), path))
    });
    lines
        .min_by_key(|&(is_root, rank, _)| (is_root, rank))
        .map(|(_, _, path)| path)
}

/// The path in the hierarchy whose ids the hooks tell.
pub(super) fn path_in(proc_cgroup: &str, hierarchy: Hierarchy) -> Option<&str> {
    proc_cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = match hierarchy {
            Hierarchy::Unified => controllers.is_empty(),
            Hierarchy::MemoryV1 => controllers.split(',').any(|one| one == "memory"),
        };
        fits.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let mountinfo = "\
            24 1 0:22 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 24 0:27 / /sys/fs/cgroup/memory\\040v1 rw - cgroup cgroup rw,memory\n";
        let at = |hierarchy| mount_of(mountinfo, hierarchy).unwrap();
        assert_eq!(at(Hierarchy::Unified), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(
            at(Hierarchy::MemoryV1),
            Path::new("/sys/fs/cgroup/memory v1")
        );
        assert_eq!(mount_of("garbage\n - \n", Hierarchy::Unified), None);
    }

    #[test]
    fn the_path_that_says_most_is_taken() {
        for (text, want) in [
            (
                "0::/system.slice/api.service\n",
                Some("/system.slice/api.service"),
            ),
            (
                "9:memory:/m\n1:name=systemd:/system.slice/a.service\n0::/\n",
                Some("/system.slice/a.service"),
            ),
            (
                "9:name=systemd:/\n4:memory:/docker/abc\n0::/\n",
                Some("/docker/abc"),
            ),
            ("4:memory:/\n0::/\n", Some("/")),
            ("0::/with:colon\n", Some("/with:colon")),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(telling_path(text), want, "{text}");
        }
    }

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!(parse_limit("67108864\n"), Some(67_108_864));
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
    }

    #[test]
    fn a_hostile_path_cannot_leave_the_tree() {
        let tree = CgroupTree {
            mount: Some("/sys/fs/cgroup".into()),
            limit_file: "memory.max",
        };
        assert_eq!(tree.directory("/a/../../../etc"), None);
    }

    proptest! {
        #[test]
        fn anything_may_stand_in_proc(text in ".{0,200}") {
            let _ = telling_path(&text);
            let _ = path_in(&text, Hierarchy::MemoryV1);
            let _ = mount_of(&text, Hierarchy::Unified);
            let _ = unescape(&text);
        }
    }
}
