//! The other tools need tracefs to attach. Not every machine has it mounted.

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::path::Path;

const PLACE: &str = "/sys/kernel/tracing";

/// A mounted tracefs. Dropping it unmounts it, unless it was mounted before.
pub struct Tracefs {
    ours: bool,
}

impl Tracefs {
    pub fn mounted() -> Result<Self> {
        let there = ["events", "../debug/tracing/events"];
        if there.iter().any(|it| Path::new(PLACE).join(it).is_dir()) {
            return Ok(Self { ours: false });
        }
        mount("tracefs", PLACE, "tracefs", MountFlags::empty(), None)
            .with_context(|| format!("mounting tracefs on {PLACE}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.ours {
            let _ = unmount(PLACE, UnmountFlags::DETACH);
        }
    }
}
