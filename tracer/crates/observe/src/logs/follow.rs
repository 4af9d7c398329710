//! One followed file: what was written to it since the last look, line by line, however it is
//! rotated. Never waits, and never reads more than a bounded amount at once.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use memchr::memchr;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, StatxFlags};

use tracer_model::WallTime;

/// Read of one file in one round; the rest waits for the next.
const MAX_ROUND: u64 = 256 << 10;
/// A reader that far behind gives up what lies between.
const MAX_BEHIND: u64 = 16 << 20;
/// Longest line read.
pub(super) const MAX_LINE: usize = 8 << 10;
/// Bytes before the place of reading that are compared, to notice a file that was cut off and
/// written again. Lines about one outage may differ in nothing but their time, at the beginning.
const MARK: usize = 512;
/// Read of a file's end to see whose format it has.
const MAX_PEEK: u64 = 64 << 10;

/// File systems of the kernel's own: proc, sysfs, debugfs, tracefs.
const KERNELS: [rustix::fs::FsWord; 4] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163];

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: (u32, u32),
    inode: u64,
}

/// A regular file, found but not yet opened: opening a device or a FIFO could do something.
#[derive(Debug)]
pub(super) struct Found {
    handle: OwnedFd,
    pub(super) id: FileId,
    /// When it was created, where the file system records that.
    pub(super) born: Option<WallTime>,
}

impl Found {
    /// What is at `path`, if it is a regular file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        Self::of(handle.ok()?)
    }

    fn of(handle: OwnedFd) -> Option<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let stat = rustix::fs::statx(&handle, "", AtFlags::EMPTY_PATH, wanted).ok()?;
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
            return None;
        }
        // Reading some of the kernel's own files does something, too.
        if KERNELS.contains(&rustix::fs::fstatfs(&handle).ok()?.f_type) {
            return None;
        }
        let recorded = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = stat.stx_btime.tv_sec.saturating_mul(1_000_000_000);
        let born = born.saturating_add(stat.stx_btime.tv_nsec.into());
        Some(Self {
            handle,
            id: FileId {
                device: (stat.stx_dev_major, stat.stx_dev_minor),
                inode: stat.stx_ino,
            },
            born: recorded.then_some(WallTime(born)),
        })
    }

    /// Opens it for reading, by the handle: whatever its name stands for by now.
    pub(super) fn open(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }
}

/// Where the file is looked for that takes a rotated one's place.
#[derive(Debug)]
pub(super) enum Place {
    /// As configured. May be a symbolic link.
    Path(PathBuf),
    /// In a directory that a proxy sees, perhaps in its container.
    In {
        /// The directory.
        directory: OwnedFd,
        /// The file's name in it.
        name: PathBuf,
    },
}

impl Place {
    /// The place of `path` as a process sees it whose root directory is `root`.
    pub(super) fn seen_from(root: &Path, path: &Path) -> Option<Self> {
        let parent = path.parent()?;
        let inside = parent.strip_prefix("/").unwrap_or(parent);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root.join(inside), flags, Mode::empty()).ok()?;
        Some(Self::In {
            directory,
            name: path.file_name()?.into(),
        })
    }

    fn found(&self) -> Option<Found> {
        match self {
            Self::Path(path) => Found::at(path),
            Self::In { directory, name } => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let handle = rustix::fs::openat(directory, name, flags, Mode::empty());
                Found::of(handle.ok()?)
            }
        }
    }
}

/// What a round of reading gave besides lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Bytes read.
    pub(super) bytes: u64,
    /// Lines longer than [`MAX_LINE`].
    pub(super) too_long: u64,
    /// Times that something was gone before it was read.
    pub(super) lost: u64,
    /// There is more to read.
    pub(super) more: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Follower {
    file: File,
    pub(super) id: FileId,
    place: Option<Place>,
    /// Of the next byte to read.
    offset: u64,
    /// The bytes before it.
    mark: Vec<u8>,
    /// The beginning of a line whose end is not yet written.
    line: Vec<u8>,
    /// In the rest of a line that is too long.
    skipping: bool,
    /// The last round left something.
    behind: bool,
}

impl Follower {
    /// Follows a file from its end, or from its `beginning`.
    pub(super) fn new(found: &Found, place: Option<Place>, beginning: bool) -> io::Result<Self> {
        let file = found.open()?;
        let offset = if beginning { 0 } else { file.metadata()?.len() };
        let mut follower = Self {
            file,
            id: found.id,
            place,
            offset,
            mark: Vec::new(),
            line: Vec::new(),
            skipping: false,
            behind: false,
        };
        follower.remember_mark();
        // The rest of a line that is being written is not known from its beginning.
        follower.skipping = follower.mark.last().is_some_and(|&byte| byte != b'\n');
        Ok(follower)
    }

    /// Where inotify finds the file.
    pub(super) fn watch_path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd())
    }

    /// The lines of the file's end.
    pub(super) fn peek(&self, each: &mut dyn FnMut(&str)) {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len());
        let start = len.saturating_sub(MAX_PEEK);
        let mut bytes = vec![0; usize::try_from(len - start).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, start).unwrap_or(0);
        let partial = usize::from(start > 0);
        for line in bytes[..read].split(|&byte| byte == b'\n').skip(partial) {
            if !line.is_empty() && line.len() <= MAX_LINE {
                each(&String::from_utf8_lossy(line));
            }
        }
    }

    /// The file that has taken this one's place, followed from its beginning. This one may still
    /// be written to.
    pub(super) fn successor(&mut self) -> Option<Self> {
        let found = self.place.as_ref()?.found()?;
        if found.id == self.id {
            return None;
        }
        let mut successor = Self::new(&found, None, true).ok()?;
        successor.place = self.place.take();
        Some(successor)
    }

    /// Whether there is something new, for file systems that don't notify.
    pub(super) fn changed(&self) -> bool {
        let len = self.file.metadata().map(|metadata| metadata.len());
        len.is_ok_and(|len| len != self.offset)
    }

    /// Gives the whole lines that are new.
    pub(super) fn read(&mut self, room: &mut Vec<u8>, each: &mut dyn FnMut(&str)) -> Round {
        let mut round = Round::default();
        let Ok(len) = self.file.metadata().map(|metadata| metadata.len()) else {
            return round;
        };
        if len < self.offset {
            self.restart(&mut round);
        }
        if len.saturating_sub(self.offset) > MAX_BEHIND {
            self.jump(len - MAX_ROUND);
            round.lost += 1;
        }
        self.read_lines(room, &mut round, each);
        self.behind = round.more;
        round
    }

    fn read_lines(&mut self, room: &mut Vec<u8>, round: &mut Round, each: &mut dyn FnMut(&str)) {
        let mut restarted = false;
        loop {
            let marked = self.mark.len();
            room.resize(marked + usize::try_from(MAX_ROUND).unwrap_or(0), 0);
            let start = self.offset - marked as u64;
            let read = match self.file.read_at(room, start) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if room.get(..read.min(marked)) != Some(&*self.mark) {
                if restarted {
                    return;
                }
                restarted = true;
                self.restart(round);
                continue;
            }
            let new = read - marked;
            self.offset += new as u64;
            round.bytes += new as u64;
            round.more = new as u64 == MAX_ROUND;
            self.split(&room[marked..read], round, each);
            let from = read.saturating_sub(MARK);
            self.mark.clear();
            self.mark.extend_from_slice(&room[from..read]);
            return;
        }
    }

    fn split(&mut self, bytes: &[u8], round: &mut Round, each: &mut dyn FnMut(&str)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let (piece, ended) = (&rest[..end.unwrap_or(rest.len())], end.is_some());
            rest = &rest[piece.len() + usize::from(ended)..];
            if !self.skipping && self.line.len() + piece.len() > MAX_LINE {
                self.skipping = true;
                self.line.clear();
                round.too_long += 1;
            }
            if self.skipping {
                self.skipping = !ended;
            } else if !ended {
                self.line.extend_from_slice(piece);
            } else if self.line.is_empty() {
                give(piece, each);
            } else {
                self.line.extend_from_slice(piece);
                give(&self.line, each);
                self.line.clear();
            }
        }
    }

    /// The file was cut off, and perhaps written again.
    fn restart(&mut self, round: &mut Round) {
        round.lost += u64::from(self.behind || !self.line.is_empty());
        // A writer that doesn't append goes on where it was, after a hole.
        let data = rustix::fs::seek(&self.file, SeekFrom::Data(0)).unwrap_or(0);
        self.jump(data);
        self.skipping = false;
    }

    /// Reads on at `offset`, in the middle of a line.
    fn jump(&mut self, offset: u64) {
        self.offset = offset;
        self.line.clear();
        self.skipping = true;
        self.remember_mark();
    }

    fn remember_mark(&mut self) {
        let len = self.offset.min(MARK as u64);
        self.mark.resize(usize::try_from(len).unwrap_or(0), 0);
        let read = self.file.read_exact_at(&mut self.mark, self.offset - len);
        if read.is_err() {
            self.mark.clear();
        }
    }
}

/// A hole that ends before a line reads as zeros.
fn give(line: &[u8], each: &mut dyn FnMut(&str)) {
    let start = line
        .iter()
        .position(|&byte| byte != 0)
        .unwrap_or(line.len());
    let line = &line[start..];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.is_empty() {
        match std::str::from_utf8(line) {
            Ok(line) => each(line),
            Err(_) => each(&String::from_utf8_lossy(line)),
        }
    }
}
