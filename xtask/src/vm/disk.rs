//! Disk images for guests, made from folders without mounting anything.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::run;

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Where the partition of a root disk begins.
const PARTITION: u64 = MIB;
/// The signature of a root disk: the kernel finds its partition by it, whatever disk it sees
/// first.
const SIGNATURE: u32 = 0xc0ff_ee01;

/// How the kernel is told where its root is.
pub(super) const ROOT: &str = "PARTUUID=c0ffee01-01";

/// An ext4 file system called `label` with what is in `folder`, and `room_mib` more.
pub(super) fn plain(folder: &Path, image: &Path, label: &str, room_mib: u64) -> Result<()> {
    let size = with_overhead(used_mib(folder)?) + room_mib;
    let _ = std::fs::remove_file(image);
    format(folder, image, label, size, None)
}

/// What a file system needs besides its files: tables in proportion, and the largest journal that
/// one below 1 GiB is given.
fn with_overhead(mib: u64) -> u64 {
    const JOURNAL: u64 = 16;
    mib + mib / 20 + JOURNAL
}

/// The same behind a partition table, as root disk. Run as root: the owners of files are kept.
pub(super) fn bootable(folder: &Path, image: &Path, room_mib: u64) -> Result<()> {
    let size = with_overhead(used_mib(folder)?) + room_mib;
    let _ = std::fs::remove_file(image);
    let file = File::create(image).with_context(|| format!("creating {}", image.display()))?;
    file.set_len(size * MIB + PARTITION)
        .with_context(|| format!("sizing {}", image.display()))?;
    format(folder, image, "vmroot", size, Some(PARTITION))?;
    partition_table(image, size * MIB / SECTOR)
        .with_context(|| format!("writing the partition table of {}", image.display()))
}

fn format(folder: &Path, image: &Path, label: &str, mib: u64, offset: Option<u64>) -> Result<()> {
    let options = "lazy_itable_init=1,root_owner=0:0";
    let options = match offset {
        Some(offset) => format!("{options},offset={offset}"),
        None => options.to_owned(),
    };
    let program = run::find("mke2fs").context("mke2fs (e2fsprogs) is not installed")?;
    let output = run::as_root(program, &[])?
        .args(["-q", "-F", "-t", "ext4", "-m", "0"])
        .args(["-O", "^metadata_csum", "-L", label, "-E", &options, "-d"])
        .arg(folder)
        .arg(image)
        .arg(format!("{mib}M"))
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

/// What the files of `folder` take, in MiB, rounded up.
fn used_mib(folder: &Path) -> Result<u64> {
    let mut du = run::as_root("du", &[])?;
    let said = run::answer(du.arg("-sm").arg(folder));
    let number = said.as_deref().and_then(|said| said.split('\t').next());
    number
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("`du` can't tell the size of {}", folder.display()))
}

/// One Linux partition that takes the whole disk.
fn partition_table(image: &Path, sectors: u64) -> Result<()> {
    let first = u32::try_from(PARTITION / SECTOR)?;
    let mut table = Vec::with_capacity(72);
    table.extend(SIGNATURE.to_le_bytes());
    table.extend([0, 0]);
    // Not bootable; begin and end by cylinder are not told; Linux.
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
    fn a_partition_table_says_where_the_root_is() {
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
