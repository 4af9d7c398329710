//! `-o FILE`: where a command writes its result.
//!
//! Findings contain clients' addresses, so a file is readable by its owner only (0600). It is renamed
//! into place when it is complete, so a failure leaves the previous file untouched.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

/// Standard output, a temporary file that replaces FILE once it is complete, or FILE itself when it
/// is not a regular file (a pipe, a terminal).
#[derive(Debug)]
pub(super) enum Output {
    Stdout(io::Stdout),
    File {
        file: File,
        /// Renamed to `path` by [`Output::commit`]; none when `path` is written in place.
        temporary: Option<PathBuf>,
        path: PathBuf,
    },
}

impl Output {
    /// Writes to `path`, or to standard output without one.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<BufWriter<Self>> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(BufWriter::new(Self::Stdout(io::stdout())));
        };
        let named = || format!("cannot write to {}", path.display());
        let special = fs::metadata(path).is_ok_and(|file| !file.is_file());
        let temporary = (!special).then(|| temporary(path));
        let file = match &temporary {
            // O_EXCL: do not follow a symbolic link that somebody put there.
            Some(temporary) => rustix::fs::open(
                temporary,
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
                Mode::RUSR | Mode::WUSR,
            )
            .map(File::from)
            .with_context(named)?,
            None => File::options().write(true).open(path).with_context(named)?,
        };
        Ok(BufWriter::new(Self::File {
            file,
            temporary,
            path: path.to_owned(),
        }))
    }

    /// Renames the complete file into place.
    pub(super) fn commit(mut self) -> anyhow::Result<()> {
        if let Self::File {
            temporary: complete,
            path,
            ..
        } = &mut self
            && let Some(temporary) = complete.take()
            && let Err(error) = fs::rename(&temporary, &*path)
        {
            let _ = fs::remove_file(&temporary);
            return Err(error).with_context(|| format!("cannot write to {}", path.display()));
        }
        Ok(())
    }
}

/// A name in the folder of `path`, so that it can be renamed to `path`.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::File {
            temporary: Some(temporary),
            ..
        } = self
        {
            // The file is incomplete.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_appears_complete_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        fs::write(&path, "before").unwrap();
        let mut out = Output::open(Some(&path)).unwrap();
        out.write_all(b"half").unwrap();
        drop(out);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        let mut out = Output::open(Some(&path)).unwrap();
        out.write_all(b"whole").unwrap();
        out.into_inner().unwrap().commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_in_place() {
        let mut out = Output::open(Some(Path::new("/dev/null"))).unwrap();
        out.write_all(b"gone").unwrap();
        out.into_inner().unwrap().commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
