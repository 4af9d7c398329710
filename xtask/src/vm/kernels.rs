//! Kernels for guests: Debian's cloud kernels, which have every driver that a guest needs built in.
//! They are fetched with apt, see [`super::archive`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archive::Apt;
use super::mirrors::Mirrors;

/// A series of kernels that Debian maintains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// Its name for `--kernel`.
    pub(crate) name: &'static str,
    /// The Debian suite that has it.
    suite: &'static str,
}

/// Oldest first; the last is the newest kernel that Debian has.
pub(crate) const SERIES: [Series; 4] = [
    Series {
        name: "5.10",
        suite: "bullseye",
    },
    Series {
        name: "6.1",
        suite: "bookworm",
    },
    Series {
        name: "6.12",
        suite: "trixie",
    },
    Series {
        name: "newest",
        suite: "sid",
    },
];

/// Depends on the suite's current kernel.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Its series.
    pub(crate) series: Series,
    /// Its version, from the name of its package.
    pub(crate) version: String,
    /// Its image.
    pub(crate) image: PathBuf,
}

/// The series called `name`.
pub(crate) fn series(name: &str) -> Result<Series> {
    let known = SERIES.into_iter().find(|series| series.name == name);
    known.with_context(|| {
        let names = SERIES.map(|series| series.name).join(", ");
        format!("no kernel series `{name}`; choose one of {names}")
    })
}

/// The kernel of `series` in `cache`, which is fetched if it is missing or to be refreshed.
pub(super) fn ready(
    cache: &Path,
    mirrors: &Mirrors,
    series: Series,
    refresh: bool,
) -> Result<Kernel> {
    let folder = cache.join("kernels").join(series.suite);
    if !refresh && let Some(kernel) = cached(&folder, series) {
        return Ok(kernel);
    }
    println!(
        "  fetch    kernel {} (Debian {}, through apt)",
        series.name, series.suite
    );
    fetch(&folder, mirrors, series).with_context(|| {
        format!(
            "fetching kernel {} from Debian {}",
            series.name, series.suite
        )
    })?;
    cached(&folder, series).with_context(|| format!("no kernel in {}", folder.display()))
}

fn cached(folder: &Path, series: Series) -> Option<Kernel> {
    let version = fs::read_to_string(folder.join("version")).ok()?;
    let image = folder.join("vmlinuz");
    image.is_file().then(|| Kernel {
        series,
        version: version.trim().to_owned(),
        image,
    })
}

fn fetch(folder: &Path, mirrors: &Mirrors, series: Series) -> Result<()> {
    let apt = Apt::new(&folder.join("apt"), mirrors, series.suite)?;
    let package = apt
        .answer("apt-cache", &["depends", META_PACKAGE])?
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .with_context(|| format!("{META_PACKAGE} depends on no kernel"))?
        .to_owned();
    let version = package.trim_start_matches("linux-image-").to_owned();
    let work = folder.join("unpacked");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    apt.unpack(&package, &work)?;
    let mut image = find_image(&work);
    if image.is_none() {
        // Since 7.x the image is in a package of its own.
        apt.unpack(&format!("linux-binary-{version}"), &work)?;
        image = find_image(&work);
    }
    let image = image.with_context(|| format!("no vmlinuz in {package}"))?;
    // Renamed, because a guest of another run may be starting from it.
    let new = folder.join("vmlinuz.new");
    fs::copy(&image, &new)?;
    fs::rename(&new, folder.join("vmlinuz"))?;
    // Written last: a kernel with a version is complete.
    fs::write(folder.join("version"), &version)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// A regular file called `vmlinuz…`; a link could point anywhere.
fn find_image(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.into_iter().find_map(|entry| {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            return find_image(&entry.path());
        }
        let is_image = entry.file_name().to_string_lossy().starts_with("vmlinuz");
        (kind.is_file() && is_image).then(|| entry.path())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_exact_name() {
        assert!(series("5.10").is_ok_and(|it| it.suite == "bullseye"));
        assert!(series("newest").is_ok_and(|it| it.suite == "sid"));
        let error = series("4.19").map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("5.10, 6.1, 6.12, newest")));
    }
}
