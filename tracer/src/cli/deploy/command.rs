//! The deployment's command. It runs as it would without the tracer: with the same streams,
//! terminal, process group, signals and limits.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracer_model::SI_KERNEL;
use tracer_present::deploy::model::CommandExit;

use crate::live::residency::OomScore;

/// The signals that stop a tracer.
const CAUGHT: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
/// A signal that was sent to the whole process group has also stopped the command by then.
const GROUP_SIGNAL_WAIT: Duration = Duration::from_millis(100);

/// Blocked signals that are read one by one, and what to restore for the command.
pub(super) struct Signals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
    /// Loading the kernel programs may raise this limit.
    locked_memory: Rlimit,
    /// The tracer lowers its own score.
    oom_score: Option<OomScore>,
    asynchronous: Option<AsyncFd<OwnedFd>>,
}

/// A signal that was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caught {
    number: u8,
    code: i32,
    sender: u32,
}

impl Signals {
    /// Blocks the signals in the calling thread and in those that it starts later. Signals that are
    /// ignored (`nohup`) stay ignored.
    pub(super) fn block() -> io::Result<Self> {
        let mut wanted = empty_set();
        let mut before = empty_set();
        for number in CAUGHT {
            if !is_ignored(number)? {
                // SAFETY: `wanted` is a valid set, and `number` is a signal's.
                check(unsafe { libc::sigaddset(&raw mut wanted, number) })?;
            }
        }
        // SAFETY: both sets are valid; the second is written.
        let result =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const wanted, &raw mut before) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is valid; -1 asks for a new descriptor.
        let descriptor = check(unsafe { libc::signalfd(-1, &raw const wanted, flags) })?;
        // SAFETY: the descriptor is new, and nothing else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            descriptor,
            before,
            locked_memory: getrlimit(Resource::Memlock),
            oom_score: OomScore::own(),
            asynchronous: None,
        })
    }

    /// Makes [`Self::next`] work; needs a tokio runtime.
    pub(super) fn listen(mut self) -> io::Result<Self> {
        let descriptor = self.descriptor.try_clone()?;
        // SAFETY: the `AsyncFd` owns the descriptor.
        let waiting = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
            .map_err(io::Error::from)?;
        self.asynchronous = Some(waiting);
        Ok(self)
    }

    /// The number of a signal that has already arrived, if any.
    pub(super) fn pending(&self) -> Option<u8> {
        self.read().ok().map(|caught| caught.number)
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Caught {
        loop {
            let Some(descriptor) = &self.asynchronous else {
                return std::future::pending().await;
            };
            let Ok(mut ready) = descriptor.readable().await else {
                return std::future::pending().await;
            };
            match self.read() {
                Ok(caught) => return caught,
                Err(_) => ready.clear_ready(),
            }
        }
    }

    fn read(&self) -> io::Result<Caught> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(self.descriptor.as_fd(), &mut info[..])?;
        if read != info.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // ssi_signo, ssi_errno, ssi_code, ssi_pid.
        let word = |index: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&info[4 * index..4 * index + 4]);
            u32::from_ne_bytes(bytes)
        };
        Ok(Caught {
            number: u8::try_from(word(0)).unwrap_or_default(),
            code: word(2).cast_signed(),
            sender: word(3),
        })
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all zeroes are a valid, empty set.
    unsafe { std::mem::zeroed() }
}

fn is_ignored(number: libc::c_int) -> io::Result<bool> {
    // SAFETY: all zeroes are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action, sigaction only writes the current one to a valid place.
    check(unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) })?;
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// The result of starting the command.
pub(super) enum Started {
    Running(Running),
    /// The error, and the exit code that a shell would report for it.
    Failed(io::Error, u8),
}

/// The running command.
pub(super) struct Running {
    child: Child,
    interrupted: bool,
}

/// Starts the command with the signals and limits that the tracer was started with.
pub(super) fn start(args: &[OsString], signals: &Signals) -> Started {
    let Some((program, rest)) = args.split_first() else {
        return Started::Failed(io::ErrorKind::InvalidInput.into(), 127);
    };
    let mut command = Command::new(program);
    command.args(rest);
    let (mask, locked_memory) = (signals.before, signals.locked_memory);
    let oom_score = signals.oom_score;
    // SAFETY: between fork and exec, only system calls are made.
    unsafe {
        command.pre_exec(move || {
            let result =
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
            if result != 0 {
                return Err(io::Error::from_raw_os_error(result));
            }
            // Where lowering fails, the limit does not matter.
            let _ = rustix::process::setrlimit(Resource::Memlock, locked_memory);
            // Where raising fails, the score was not lowered either.
            let _ = oom_score.map(OomScore::apply);
            Ok(())
        });
    }
    match command.spawn() {
        Ok(child) => Started::Running(Running {
            child,
            interrupted: false,
        }),
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            };
            Started::Failed(error, code)
        }
    }
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the tracer received a signal while the command ran.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Waits until the command finishes. Signals sent to the tracer are forwarded to it, except those
    /// from the terminal, which the command gets as well, and those from its own processes.
    pub(super) async fn wait(
        &mut self,
        signals: &mut Signals,
        is_own: impl Fn(u32) -> bool,
    ) -> io::Result<CommandExit> {
        let descriptor = pidfd_open(Pid::from_child(&self.child), PidfdFlags::NONBLOCK)?;
        // SAFETY: the `AsyncFd` owns the descriptor.
        let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
            .map_err(io::Error::from)?;
        loop {
            tokio::select! {
                ended = descriptor.readable() => {
                    ended?.clear_ready();
                    if let Some(status) = self.child.try_wait()? {
                        return Ok(end(status));
                    }
                }
                caught = signals.next() => {
                    self.interrupted = true;
                    // The kernel sends the terminal's signals, to the command as well.
                    if caught.code != SI_KERNEL && !is_own(caught.sender) {
                        tokio::select! {
                            _ = descriptor.readable() => {}
                            () = tokio::time::sleep(GROUP_SIGNAL_WAIT) => self.forward(caught),
                        }
                    }
                }
            }
        }
    }

    fn forward(&mut self, caught: Caught) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Some(signal) = Signal::from_named_raw(i32::from(caught.number))
        {
            // Fails if the command has finished meanwhile.
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

fn end(status: std::process::ExitStatus) -> CommandExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => CommandExit::ExitCode(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => CommandExit::Signal(
            signal
                .and_then(|signal| u8::try_from(signal).ok())
                .unwrap_or(0),
        ),
    }
}
