//! inotify on followed files.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel reports of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It was written to, or cut off.
    Changed(i32),
    /// It was renamed or unlinked.
    Moved(i32),
    /// Events were lost: anything may have happened to any file.
    Overflow,
}

/// An inotify instance. It enters the runtime at the first wait, for it is made outside of one.
#[derive(Debug)]
pub(super) struct Notify {
    fd: Option<OwnedFd>,
    waiting: Option<AsyncFd<OwnedFd>>,
}

impl Notify {
    pub(super) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            fd: Some(fd),
            waiting: None,
        })
    }

    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match (&self.fd, &self.waiting) {
            (Some(fd), _) => Some(fd.as_fd()),
            (None, Some(waiting)) => Some(waiting.get_ref().as_fd()),
            (None, None) => None,
        }
    }

    /// Watches what is at `path`, what is `written` to it or only its name; the number is that of its
    /// events, and the same as before when it is watched already.
    pub(super) fn watch(&self, path: &str, written: bool) -> Option<i32> {
        let mut flags = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        flags.set(WatchFlags::MODIFY, written);
        inotify::add_watch(self.fd()?, path, flags).ok()
    }

    pub(super) fn forget(&self, watch: i32) {
        if let Some(fd) = self.fd() {
            // Gone already when the file is.
            let _ = inotify::remove_watch(fd, watch);
        }
    }

    /// What has happened. Never waits.
    pub(super) fn drain(&self, each: &mut dyn FnMut(Event)) {
        /// Of one call; the rest waits for the next.
        const MAX_EVENTS: usize = 1024;
        let Some(fd) = self.fd() else {
            return;
        };
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(fd, &mut room);
        for _ in 0..MAX_EVENTS {
            let Ok(event) = reader.next() else {
                return;
            };
            let kind = event.events();
            each(if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                Event::Overflow
            } else if kind.intersects(ReadFlags::MOVE_SELF | ReadFlags::ATTRIB) {
                Event::Moved(event.wd())
            } else {
                Event::Changed(event.wd())
            });
        }
    }

    /// Returns when [`Self::drain`] may find something.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        if let Some(fd) = self.fd.take() {
            // SAFETY: an owned descriptor that is neither replaced nor closed while it is in there.
            let waiting = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
            self.waiting = Some(waiting?);
        }
        match &self.waiting {
            Some(waiting) => waiting.readable().await?.clear_ready(),
            None => std::future::pending().await,
        }
        Ok(())
    }
}
