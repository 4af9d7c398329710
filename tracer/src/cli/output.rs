//! `-o FILE`: where a command writes what it made.
//!
//! Findings hold addresses of clients: a file is for its owner only (0600). It appears when it is
//! whole, so that a failure leaves what was there before.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

/// Standard output, a file that replaces FILE once it is whole, or what FILE is when it is no
/// regular file (a pipe, a terminal).
#[derive(Debug)]
pub(super) enum Output {
    Stdout(io::Stdout),
    File {
        file: File,
        /// Renamed to the path in the end; none when it is written in place.
        temporary: Option<PathBuf>,
        path: PathBuf,
    },
}

impl Output {
    /// To `path`, else to standard output.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<BufWriter<Self>> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(BufWriter::new(Self::Stdout(io::stdout())));
        };
        let named = || format!("cannot write to {}", path.display());
        let special = fs::metadata(path).is_ok_and(|file| !file.is_file());
        let temporary = (!special).then(|| temporary(path));
        let file = match &temporary {
            // Without O_EXCL a link that somebody put there would be followed.
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

    /// Puts the file in its place.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        if let Self::File {
            temporary: whole,
            path,
            ..
        } = &mut self
            && let Some(temporary) = whole.take()
            && let Err(error) = fs::rename(&temporary, &*path)
        {
            let _ = fs::remove_file(&temporary);
            return Err(error).with_context(|| format!("cannot write to {}", path.display()));
        }
        Ok(())
    }
}

/// Beside `path`, so that it can be renamed.
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
            // It is not whole.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_appears_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        fs::write(&path, "before").unwrap();
        let mut out = Output::open(Some(&path)).unwrap();
        out.write_all(b"half").unwrap();
        drop(out);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        let mut out = Output::open(Some(&path)).unwrap();
        out.write_all(b"whole").unwrap();
        out.into_inner().unwrap().keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_written_in_place() {
        let mut out = Output::open(Some(Path::new("/dev/null"))).unwrap();
        out.write_all(b"gone").unwrap();
        out.into_inner().unwrap().keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
