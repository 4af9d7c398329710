//! Cgroups in the file system: paths, ids and memory limits, in v1 and v2.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use tracer_model::{Hierarchy, Pid};

/// Directories walked at start-up. Further cgroups are looked up when they are needed.
const MAX_CGROUPS: usize = 20_000;

/// v1 shows "no limit" as the largest number of pages.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// A mounted cgroup hierarchy.
#[derive(Debug)]
pub(super) struct CgroupTree {
    /// `None` if the hierarchy is not mounted.
    mount: Option<Mount>,
    limit_file: &'static str,
}

/// A mount of a hierarchy, or of a part of it.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// The mount point.
    at: PathBuf,
    /// Path of the cgroup that is mounted there. In a container without a cgroup namespace of its own,
    /// this is not the root of the hierarchy.
    root: String,
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

    /// The directory of the cgroup at `path`.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        // An untrusted path must not lead out of the tree.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        let mount = self.mount.as_ref()?;
        let below = path.strip_prefix(mount.root.trim_end_matches('/'))?;
        // `/docker/abcd` is not below `/docker/abc`.
        (below.is_empty() || below.starts_with('/'))
            .then(|| mount.at.join(below.trim_start_matches('/')))
    }

    /// The directory of a process's cgroup; the root directory if that is unknown.
    pub(super) fn of_process(&self, pid: Pid) -> Option<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        text.lines()
            .find_map(|line| self.directory(line.strip_prefix("0::")?))
            .filter(|directory| directory.is_dir())
            .or_else(|| self.root())
    }

    /// The mount point.
    pub(super) fn root(&self) -> Option<PathBuf> {
        Some(self.mount.as_ref()?.at.clone())
    }

    /// Id of the cgroup at `path`: the inode of its directory is its kernfs id.
    pub(super) fn id(&self, path: &str) -> Option<u64> {
        Some(fs::metadata(self.directory(path)?).ok()?.ino())
    }

    /// Memory limit of the cgroup at `path` itself, without its ancestors, in bytes.
    pub(super) fn limit_bytes(&self, path: &str) -> Option<u64> {
        let text = fs::read_to_string(self.directory(path)?.join(self.limit_file)).ok()?;
        parse_limit(&text)
    }

    /// Limit and path of the nearest cgroup with a limit, starting at `path` and going up.
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

    /// All cgroups, up to [`MAX_CGROUPS`]: id, path, limit.
    pub(super) fn walk(&self) -> Vec<(u64, String, Option<u64>)> {
        let mut found = Vec::new();
        let root = self.mount.as_ref().map(|mount| mount.root.clone());
        let mut waiting: Vec<String> = root.into_iter().collect();
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

/// Finds the mount of a hierarchy in /proc/self/mountinfo.
fn mount_of(mountinfo: &str, hierarchy: Hierarchy) -> Option<Mount> {
    mountinfo.lines().find_map(|line| {
        let (mount, fs) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (unescape(mount.next()?), unescape(mount.next()?));
        let mut fs = fs.split(' ');
        let kind = fs.next()?;
        let options = fs.nth(1).unwrap_or_default();
        let fits = match hierarchy {
            Hierarchy::Unified => kind == "cgroup2",
            Hierarchy::MemoryV1 => {
                kind == "cgroup" && options.split(',').any(|option| option == "memory")
            }
        };
        fits.then(|| Mount {
            at: at.into(),
            root,
        })
    })
}

/// Decodes mountinfo, which writes space, tab, newline and backslash as `\ooo`.
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

/// The path in /proc/PID/cgroup that says most about the process's service: that in the unified
/// hierarchy, unless the process is in its root; else v1's `name=systemd`, `memory`, or any other.
pub(super) fn service_path(proc_cgroup: &str) -> Option<&str> {
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

/// The path in `hierarchy`.
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
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let mountinfo = "\
            24 1 0:22 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 24 0:27 / /sys/fs/cgroup/memory\\040v1 rw - cgroup cgroup rw,memory\n";
        let at = |hierarchy| mount_of(mountinfo, hierarchy).unwrap().at;
        assert_eq!(at(Hierarchy::Unified), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(
            at(Hierarchy::MemoryV1),
            Path::new("/sys/fs/cgroup/memory v1")
        );
        assert_eq!(mount_of("garbage\n - \n", Hierarchy::Unified), None);
    }

    #[test]
    fn the_path_that_says_most_about_the_service_is_used() {
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
            assert_eq!(service_path(text), want, "{text}");
        }
    }

    #[test]
    fn limits_are_parsed() {
        assert_eq!(parse_limit("67108864\n"), Some(67_108_864));
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
    }

    fn mounted(root: &str) -> CgroupTree {
        let line = format!("31 24 0:27 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        CgroupTree {
            mount: mount_of(&line, Hierarchy::Unified),
            limit_file: "memory.max",
        }
    }

    #[test]
    fn a_hostile_path_cannot_leave_the_tree() {
        assert_eq!(mounted("/").directory("/a/../../../etc"), None);
    }

    #[test]
    fn a_partly_mounted_hierarchy_shows_only_cgroups_below_its_mount() {
        let tree = mounted("/docker/abc");
        let directory = |path| tree.directory(path);
        assert_eq!(
            directory("/docker/abc/web"),
            Some("/sys/fs/cgroup/web".into())
        );
        assert_eq!(directory("/docker/abc"), Some("/sys/fs/cgroup/".into()));
        for outside in ["/", "/docker", "/docker/abcd", "/system.slice"] {
            assert_eq!(directory(outside), None, "{outside}");
        }
    }

    #[test]
    fn the_inode_of_a_cgroup_is_the_id_the_kernel_gives_it() {
        /// `struct file_handle` with room for the 8 bytes of a kernfs id.
        #[repr(C)]
        struct Handle {
            bytes: u32,
            kind: i32,
            id: u64,
        }
        let tree = CgroupTree::find(Hierarchy::Unified);
        let root = tree.walk().remove(0);
        let path = std::ffi::CString::new(tree.directory(&root.1).unwrap().to_str().unwrap());
        let mut handle = Handle {
            bytes: 8,
            kind: 0,
            id: 0,
        };
        let mut mount = 0;
        // SAFETY: the path is NUL-terminated, the handle has the 8 bytes it claims, and both
        // outlive the call.
        let result = unsafe {
            libc::name_to_handle_at(
                libc::AT_FDCWD,
                path.unwrap().as_ptr(),
                std::ptr::from_mut(&mut handle).cast(),
                &raw mut mount,
                0,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(handle.id, root.0);
    }

    proptest! {
        #[test]
        fn any_content_of_proc_is_parsed(text in ".{0,200}") {
            let _ = service_path(&text);
            let _ = path_in(&text, Hierarchy::MemoryV1);
            let _ = mount_of(&text, Hierarchy::Unified);
            let _ = unescape(&text);
        }
    }
}
