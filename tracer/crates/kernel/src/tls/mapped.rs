//! Finds the files from which a process may have OpenSSL: the libraries that it has mapped, or else its
//! own program.
//!
//! Files are opened as the process sees them: in its mount namespace, and also when an upgrade has
//! removed them since.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs, open};

use tracer_model::Pid;

/// Most bytes of a list of mappings that are read. A proxy has a few hundred lines of about a hundred
/// bytes.
const MAX_MAPS: u64 = 1 << 20;
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAYFS: rustix::fs::FsWord = 0x794c_7630;
/// Most libraries of one process.
const MAX_LIBRARIES: usize = 4;

/// The identity of a file, independent of its name.
///
/// Containers made from one image share its files, but each sees them on its own device (overlayfs).
/// There the device is ignored, and the inode's times are compared: hooks attached twice to the
/// same file would run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

/// A file from which a process may have OpenSSL.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The file's identity.
    pub(super) id: FileId,
    /// The file, open for reading.
    pub(super) file: File,
    /// Its name, as the process sees it.
    pub(super) name: String,
    /// Whether it is a library named like OpenSSL's, not the process's program.
    pub(super) library: bool,
}

/// A line of /proc/PID/maps with executable code of a library.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping<'a> {
    /// `7f00-7f08`, the name of its link in /proc/PID/map_files.
    pub(super) range: &'a str,
    pub(super) inode: u64,
    /// Without ` (deleted)`.
    pub(super) path: &'a str,
}

/// The candidates of `pid`: libraries, or else the program. Fails when the process has exited, or
/// access to it is denied.
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

/// The mappings of OpenSSL libraries, each library once.
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

/// Parses a line. None: it is not executable code of a file named like OpenSSL's library.
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
    // Also `libssl-3f1c2b.so.3`, as packages name a library that they bundle.
    let is_openssl = stem == "libssl" || stem.starts_with("libssl-");
    let is_range = range.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    (executable && is_openssl && is_range).then_some(Mapping { range, inode, path })
}

/// Opens the mapped file itself; if access to its link is denied, opens it by its path, provided that
/// this leads to the same inode.
fn open_mapped(pid: Pid, mapping: &Mapping<'_>) -> Option<(File, FileId)> {
    if let Ok(file) = open_regular(&format!("/proc/{pid}/map_files/{}", mapping.range)) {
        return Some(file);
    }
    open_regular(&format!("/proc/{pid}/root{}", mapping.path))
        .ok()
        .filter(|(_, id)| id.inode == mapping.inode)
}

pub(super) fn open_regular(path: &str) -> io::Result<(File, FileId)> {
    // Not blocking, in case it is not a regular file.
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
