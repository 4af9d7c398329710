//! Locks that two runs of `cargo xtask vm` take turns by. The kernel releases them when a process
//! exits, for whatever reason.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process;

use anyhow::{Context as _, Result};

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder`. If another run holds it, prints that run's process ID and waits.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        Self::take_and(folder, |holder| {
            println!("  wait     for {holder}, which uses {}", folder.display());
        })
    }

    /// Takes the lock of `folder`, and calls `wait` before waiting for another run.
    fn take_and(folder: &Path, wait: impl FnOnce(&str)) -> Result<Self> {
        let path = folder.join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Empty when the other run has not written it yet.
                let _ = file.read_to_string(&mut pid);
                wait(&match pid.trim() {
                    "" => "another run".to_owned(),
                    pid => format!("process {pid}"),
                });
                file.lock()
                    .with_context(|| format!("locking {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", process::id()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_second_run_names_the_first_and_waits_for_it() {
        let folder = std::env::temp_dir().join(format!("tracer-lock-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let first = Lock::take_and(&folder, |_| panic!("the lock is free")).unwrap();
        let (send, waiting) = mpsc::channel();
        let at = folder.clone();
        let second = thread::spawn(move || {
            Lock::take_and(&at, |holder| send.send(holder.to_owned()).unwrap()).map(drop)
        });
        let holder = waiting.recv().unwrap();
        assert_eq!(holder, format!("process {}", process::id()));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
