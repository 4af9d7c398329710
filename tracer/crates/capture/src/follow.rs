//! Follows a capture that is being written, across rotations, until its writer stops.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;

/// Interval between looks for new bytes.
const POLL: Duration = Duration::from_millis(50);

/// A file as a stream that ends when its writer stops.
#[derive(Debug)]
pub(super) struct Follow {
    file: File,
    path: PathBuf,
}

impl Follow {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    /// The file that replaced the one being read.
    fn successor(&self) -> io::Result<Option<File>> {
        let fresh = match File::open(&self.path) {
            Ok(fresh) => fresh,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (old, new) = (self.file.metadata()?, fresh.metadata()?);
        Ok(((old.dev(), old.ino()) != (new.dev(), new.ino())).then_some(fresh))
    }

    /// Whether a recorder has the file open, and so holds its lock.
    fn is_written(&self) -> bool {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                // Can't fail for a lock that is held.
                let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
                false
            }
            Err(error) => error == rustix::io::Errno::WOULDBLOCK,
        }
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // The order matters: bytes that were written before the successor appeared, or before the
            // lock was released, are read after these checks.
            let successor = self.successor()?;
            let written = self.is_written();
            let read = self.file.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            match successor {
                Some(fresh) => self.file = fresh,
                None if written => thread::sleep(POLL),
                None => return Ok(0),
            }
        }
    }
}
