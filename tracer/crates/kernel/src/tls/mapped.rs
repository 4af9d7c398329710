//! Which files a process has OpenSSL from: the libraries it has mapped, or else its own program.
//!
//! Files are opened as the process sees them, in its own mount namespace, also when an upgrade has
//! removed them meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs, open};

use tracer_model::Pid;

/// Longest list of mappings read: a proxy has some hundred lines of some hundred bytes.
const MAX_MAPS: u64 = 1 << 20;
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAYFS: rustix::fs::FsWord = 0x794c_7630;
/// Most libraries of one process.
const MAX_LIBRARIES: usize = 4;

/// A file, whatever its name.
///
/// Containers that are made from one image share its files, but each sees them on a device of its
/// own (overlayfs): there the device does not count, but the inode's times do. Attached twice, every
/// probe would run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

/// A file that a process may have OpenSSL from.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its identity.
    pub(super) id: FileId,
    /// The file, open for reading.
    pub(super) file: File,
    /// As the process calls it.
    pub(super) name: String,
    /// A library called like OpenSSL's; else the process's program.
    pub(super) library: bool,
}

/// A line of /proc/PID/maps that is executable code of a library.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping<'a> {
    /// `7f00-7f08`, the name of its link in /proc/PID/map_files.
    pub(super) range: &'a str,
    pub(super) inode: u64,
    /// Without ` (deleted)`.
    pub(super) path: &'a str,
}

/// The files of `pid`, libraries before the program. Fails when the process is gone, or may not be
/// looked at.
pub(super) fn candidates(pid: Pid) -> io::Result<Vec<Candidate>> {
    let mut maps = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?
        .take(MAX_MAPS)
        .read_to_end(&mut maps)?;
    let maps = String::from_utf8_lossy(&maps);
    let mut found = Vec::new();
    for mapping in libraries(&maps) {
        if let Some((file, id)) = open_mapped(pid, &mapping) {
            found.push(Candidate {
                id,
                file,
                name: mapping.path.into(),
                library: true,
            });
        }
    }
    if found.is_empty() {
        let program = format!("/proc/{pid}/exe");
        let name = std::fs::read_link(&program)?;
        let (file, id) = open_regular(&program)?;
        found.push(Candidate {
            id,
            file,
            name: name.to_string_lossy().into(),
            library: false,
        });
    }
    Ok(found)
}

/// OpenSSL's mappings, each library once.
pub(super) fn libraries(maps: &str) -> Vec<Mapping<'_>> {
    let mut found: Vec<Mapping<'_>> = Vec::new();
    for mapping in maps.lines().filter_map(parse) {
        let known = found.iter().any(|it| it.path == mapping.path);
        if !known && found.len() < MAX_LIBRARIES {
            found.push(mapping);
        }
    }
    found
}

/// One line, if it is code of a file called like OpenSSL's library.
fn parse(line: &str) -> Option<Mapping<'_>> {
    let mut rest = line;
    let mut next = || {
        let (field, after) = rest.split_once(' ')?;
        rest = after.trim_start_matches(' ');
        Some(field)
    };
    let range = next()?;
    let executable = next()?.as_bytes().get(2) == Some(&b'x');
    let (_offset, _device) = (next()?, next()?);
    let inode = next()?.parse().ok()?;
    let path = rest.strip_suffix(" (deleted)").unwrap_or(rest);
    let (_, name) = path.rsplit_once('/')?;
    let (stem, _) = name.split_once(".so")?;
    // Also `libssl-3f1c2b.so.3`, as packages that bring their own call it.
    let is_openssl = stem == "libssl" || stem.starts_with("libssl-");
    let is_range = range.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    (executable && is_openssl && is_range).then_some(Mapping { range, inode, path })
}

/// The very file that is mapped; by its path when the link to it may not be followed, and then only
/// if that leads to the same inode.
fn open_mapped(pid: Pid, mapping: &Mapping<'_>) -> Option<(File, FileId)> {
    if let Ok(file) = open_regular(&format!("/proc/{pid}/map_files/{}", mapping.range)) {
        return Some(file);
    }
    open_regular(&format!("/proc/{pid}/root{}", mapping.path))
        .ok()
        .filter(|(_, id)| id.inode == mapping.inode)
}

pub(super) fn open_regular(path: &str) -> io::Result<(File, FileId)> {
    // Not blocking, should it be something else than a file.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: OwnedFd = open(path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    let layered = fstatfs(&file)?.f_type == OVERLAYFS;
    let id = FileId {
        device: if layered { 0 } else { stat.st_dev },
        inode: stat.st_ino,
        size: stat.st_size,
        changed: (stat.st_ctime, stat.st_ctime_nsec),
    };
    Ok((file.into(), id))
}
