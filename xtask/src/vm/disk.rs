//! Disk images for guests, made from folders without mounting anything.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::guard::Workplace;
use crate::run;

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Where the partition of a root disk begins.
const PARTITION: u64 = MIB;
/// The signature of a root disk, by which the kernel finds the partition in whatever order it
/// detects disks.
const SIGNATURE: u32 = 0xc0ff_ee01;

/// The kernel's `root` parameter.
pub(super) const ROOT: &str = "PARTUUID=c0ffee01-01";

/// Makes an ext4 file system called `label` with the files of `folder` and `room_mib` of free
/// space.
pub(super) fn plain(folder: &Path, image: &Path, label: &str, room_mib: u64) -> Result<()> {
    let size = with_overhead(used_mib(folder)?) + room_mib;
    let _ = std::fs::remove_file(image);
    let output = run::elevated(&mke2fs(folder, image, label, size, None)?)?
        .stdin(Stdio::null())
        .output()
        .context("starting mke2fs")?;
    if !output.status.success() {
        bail!(
            "making {} failed: {}",
            image.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The size of a file system for this many MiB of files: its tables grow with it, and mke2fs gives
/// it a journal of at most 16 MiB while it is smaller than 1 GiB.
fn with_overhead(mib: u64) -> u64 {
    const JOURNAL: u64 = 16;
    mib + mib / 20 + JOURNAL
}

/// Makes the same with a partition table, as the root disk `image` in `workplace`. The files keep
/// their owners.
pub(super) fn bootable(
    workplace: &Workplace,
    folder: &Path,
    image: &Path,
    room_mib: u64,
) -> Result<()> {
    let size = with_overhead(used_mib(folder)?) + room_mib;
    let file = File::create(image).with_context(|| format!("creating {}", image.display()))?;
    file.set_len(size * MIB + PARTITION)
        .with_context(|| format!("sizing {}", image.display()))?;
    workplace.run(&mke2fs(folder, image, "vmroot", size, Some(PARTITION))?)?;
    partition_table(image, size * MIB / SECTOR)
        .with_context(|| format!("writing the partition table of {}", image.display()))
}

/// The command that makes a file system, to be run as root.
fn mke2fs(
    folder: &Path,
    image: &Path,
    label: &str,
    mib: u64,
    offset: Option<u64>,
) -> Result<Command> {
    let options = "lazy_itable_init=1,root_owner=0:0";
    let options = match offset {
        Some(offset) => format!("{options},offset={offset}"),
        None => options.to_owned(),
    };
    let program = run::find("mke2fs").context("mke2fs (e2fsprogs) is not installed")?;
    let mut command = Command::new(program);
    command
        .args(["-q", "-F", "-t", "ext4", "-m", "0"])
        .args(["-O", "^metadata_csum", "-L", label, "-E", &options, "-d"])
        .arg(folder)
        .arg(image)
        .arg(format!("{mib}M"));
    Ok(command)
}

/// The size of the files in `folder`, in MiB, rounded up.
fn used_mib(folder: &Path) -> Result<u64> {
    let mut du = run::as_root("du", &[])?;
    let text = run::answer(du.arg("-sm").arg(folder));
    let number = text.as_deref().and_then(|text| text.split('\t').next());
    number
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("`du` can't measure {}", folder.display()))
}

/// Writes a table with one Linux partition that fills the disk.
fn partition_table(image: &Path, sectors: u64) -> Result<()> {
    let first = u32::try_from(PARTITION / SECTOR)?;
    let mut table = Vec::with_capacity(72);
    table.extend(SIGNATURE.to_le_bytes());
    table.extend([0, 0]);
    // Not bootable; no first and last cylinder; type Linux.
    table.extend([0, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
    table.extend(first.to_le_bytes());
    table.extend(u32::try_from(sectors)?.to_le_bytes());
    table.extend([0; 48]);
    table.extend([0x55, 0xaa]);
    let mut file = File::options().write(true).open(image)?;
    file.seek(SeekFrom::Start(440))?;
    file.write_all(&table)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_table_has_the_place_and_size_of_the_root() {
        let folder = std::env::temp_dir().join(format!("tracer-disk-{}", std::process::id()));
        std::fs::write(&folder, [0; 512]).unwrap_or_default();
        let written = partition_table(&folder, 2048).and_then(|()| Ok(std::fs::read(&folder)?));
        let _ = std::fs::remove_file(&folder);
        let sector = written.unwrap_or_default();
        assert_eq!(sector.len(), 512);
        assert_eq!(&sector[510..], [0x55, 0xaa]);
        assert_eq!(sector[440..444], SIGNATURE.to_le_bytes());
        assert_eq!(sector[446 + 4], 0x83);
        assert_eq!(sector[446 + 8..446 + 12], 2048_u32.to_le_bytes());
    }
}
