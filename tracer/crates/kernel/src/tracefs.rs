//! Attaches programs to tracepoints through perf events, also where tracefs is not mounted.
//!
//! Only tracefs has the id of a tracepoint. Where it is not mounted in a usual place, a detached
//! mount, which no path leads to, is made for the moment of reading.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracepoint's id, for perf events.
pub(super) fn tracepoint_id(category: &str, name: &str) -> io::Result<u64> {
    let path = format!("events/{category}/{name}/id");
    for root in USUAL {
        if let Ok(text) = fs::read_to_string(format!("{root}/{path}")) {
            return parse(&text);
        }
    }
    let mut text = String::new();
    let root = detached()?;
    let file = openat(
        &root,
        &path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    fs::File::from(file).read_to_string(&mut text)?;
    parse(&text)
}

fn parse(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(io::Error::other)
}

/// Mounts tracefs where nothing else can see it, until the result is closed.
fn detached() -> io::Result<OwnedFd> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let mount = fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?;
    Ok(mount)
}

/// A program attached to a tracepoint; detached when dropped.
#[derive(Debug)]
pub(super) struct Attached {
    _event: OwnedFd,
}

/// `struct perf_event_attr` in its first published size, which is enough for a tracepoint.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::Ioctl = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::Ioctl = 0x4004_2408;

/// Runs `program` whenever the tracepoint fires, on any processor and in any process.
pub(super) fn attach(program: BorrowedFd<'_>, id: u64) -> io::Result<Attached> {
    let attr = PerfEventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<PerfEventAttr>()).map_err(io::Error::other)?,
        config: id,
        ..PerfEventAttr::default()
    };
    // The program runs for the tracepoint on all processors. The event itself counts on one, which
    // does not matter.
    let (pid, cpu, group) = (-1, 0, -1);
    // SAFETY: `attr` is a perf_event_attr of the size in its field, and lives during the call.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid,
            cpu,
            group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let event = libc::c_int::try_from(event).map_err(io::Error::other)?;
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just created this descriptor; nothing else owns it.
    let event = unsafe { OwnedFd::from_raw_fd(event) };
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: both requests take an integer, and the descriptor is a perf event.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Attached { _event: event })
}
