//! Where a recording is written to: a file that is only appended to and can be rotated, or a stream.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::frame::MAGIC;

/// Where to record to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file. An existing capture is appended to.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Limits the disk space of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file is full once it has this many bytes.
    pub bytes: u64,
    /// How many files are kept, including the one that is being written.
    pub keep: u32,
}

/// Why recording to a target is not possible.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The operating system refused.
    #[error("cannot record to {path}: {error}{hint}")]
    Open {
        /// The target.
        path: String,
        /// The reason.
        error: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The file exists and is something else. Nothing is overwritten.
    #[error(
        "cannot record to {0}: it exists and is not a capture; move it away or choose another name"
    )]
    NotCapture(String),
    /// The file is locked: two recordings would mix.
    #[error("cannot record to {0}: another tracer is recording to it; choose another name")]
    Busy(String),
    /// Only files can be rotated.
    #[error("cannot rotate {0}: it is not a regular file; record to a file or omit --rotate")]
    NotRotatable(String),
}

/// An open target.
#[derive(Debug)]
pub(super) struct Output {
    kind: Kind,
    /// Bytes in the current file.
    length: u64,
    /// Bytes in all files.
    written: u64,
}

#[derive(Debug)]
enum Kind {
    Stream(File),
    File {
        file: File,
        path: PathBuf,
        rotation: Option<Rotation>,
    },
}

impl Output {
    pub(super) fn open(target: &Target, rotation: Option<Rotation>) -> Result<Self, OutputError> {
        let (kind, length) = match target {
            Target::Stdout => {
                if rotation.is_some() {
                    return Err(OutputError::NotRotatable("standard output".into()));
                }
                let file = io::stdout()
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(|error| failed(Path::new("standard output"), error))?;
                (Kind::Stream(file.into()), 0)
            }
            Target::File(path) => open(path, rotation)?,
        };
        Ok(Self {
            kind,
            length,
            written: 0,
        })
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Appends whole frames. After an error, none of them stays in the file if that can be achieved.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Stream(file) => file.write_all(frames)?,
            Kind::File { file, .. } => {
                // Somebody may have truncated the file to make room.
                let before = file.metadata()?.len();
                if let Err(error) = file.write_all(frames) {
                    // Half a frame takes space. If it stays, readers skip it.
                    let _ = file.set_len(before);
                    return Err(error);
                }
                self.length = before + frames.len() as u64;
            }
        }
        self.written += frames.len() as u64;
        Ok(())
    }

    /// Waits until what was written survives a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Stream(_) => Ok(()),
            Kind::File { file, .. } => file.sync_data(),
        }
    }

    /// Whether it is time for [`Self::rotate`].
    pub(super) fn is_full(&self) -> bool {
        matches!(&self.kind, Kind::File { rotation: Some(rotation), .. } if self.length >= rotation.bytes)
    }

    /// Begins a new file. After an error, writing continues in the old one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let Kind::File {
            file,
            path,
            rotation: Some(rotation),
        } = &mut self.kind
        else {
            return Ok(());
        };
        let mut older = rotated(path)?;
        let next = older.last().map_or(1, |(number, _)| number + 1);
        let moved = numbered(path, next);
        fs::rename(&*path, &moved)?;
        match create(path) {
            Ok(fresh) => *file = fresh,
            Err(error) => {
                let _ = fs::rename(&moved, &*path);
                return Err(error);
            }
        }
        self.length = 0;
        older.push((next, moved));
        // The file that is being written counts, too.
        let keep = rotation.keep.saturating_sub(1) as usize;
        let too_many = older.len().saturating_sub(keep);
        for (_, path) in older.drain(..too_many) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The files that earlier rotations of `path` made, oldest first.
fn rotated(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut found = Vec::new();
    let name = path.file_name().unwrap_or_default();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let other = entry.file_name();
        let number = other
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number
            && entry.file_type()?.is_file()
        {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens or creates a file that only its owner can read, because it holds command lines and addresses.
/// Symbolic links are not followed: they could make root write anywhere.
fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NOCTTY;
    let file: File = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into();
    // The lock is released with the file.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn open(path: &Path, rotation: Option<Rotation>) -> Result<(Kind, u64), OutputError> {
    let shown = || path.display().to_string();
    let file = create(path).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            OutputError::Busy(shown())
        } else {
            failed(path, error)
        }
    })?;
    let metadata = file.metadata().map_err(|error| failed(path, error))?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        if rotation.is_some() {
            return Err(OutputError::NotRotatable(shown()));
        }
        if kind.is_block_device() {
            return Err(OutputError::NotCapture(shown()));
        }
        return Ok((Kind::Stream(file), 0));
    }
    if metadata.len() > 0 && !is_capture(path).map_err(|error| failed(path, error))? {
        return Err(OutputError::NotCapture(shown()));
    }
    let path = path.to_owned();
    let kind = Kind::File {
        file,
        path,
        rotation,
    };
    Ok((kind, metadata.len()))
}

fn is_capture(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    Ok(head == MAGIC)
}

fn failed(path: &Path, error: io::Error) -> OutputError {
    let hint = match error.raw_os_error() {
        Some(libc::ELOOP) => "; it is a symbolic link, name the file itself",
        Some(libc::ENOENT) => "; create its directory first",
        _ => "",
    };
    OutputError::Open {
        path: path.display().to_string(),
        error,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn full(folder: &Path, keep: u32) -> Output {
        let rotation = Rotation { bytes: 10, keep };
        let target = Target::File(folder.join("a.capture"));
        Output::open(&target, Some(rotation)).unwrap()
    }

    #[test]
    fn rotation_keeps_the_configured_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.capture.old"), "not ours").unwrap();
        let mut output = full(folder.path(), 3);
        for round in 0..5 {
            assert!(!output.is_full(), "round {round}");
            output.append(b"\xf5TRC and more").unwrap();
            assert!(output.is_full());
            output.rotate().unwrap();
        }
        output.append(b"the last").unwrap();
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = ["a.capture", "a.capture.4", "a.capture.5", "a.capture.old"];
        assert_eq!(names, expected);
        assert_eq!(
            fs::read(folder.path().join("a.capture")).unwrap(),
            b"the last"
        );
    }

    #[test]
    fn a_capture_is_locked_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let _output = full(folder.path(), 2);
        let path = folder.path().join("a.capture");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let again = Output::open(&Target::File(path), None);
        assert!(matches!(again, Err(OutputError::Busy(_))), "{again:?}");
    }

    #[test]
    fn only_captures_are_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "important").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (target, says) in [
            (path.clone(), "not a capture"),
            (link, "symbolic link"),
            (folder.path().to_owned(), "directory"),
            (folder.path().join("no/such"), "create its directory"),
        ] {
            let error = Output::open(&Target::File(target), None).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(fs::read(path).unwrap(), b"important");
    }
}
