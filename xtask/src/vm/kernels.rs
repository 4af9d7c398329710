//! Kernels for guests: Debian's cloud kernels, which have all that a guest needs built in.
//!
//! They come through apt, see [`super::archive`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archive::Apt;

/// A line of kernels that Debian keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// What `--kernel` calls it.
    pub(crate) name: &'static str,
    /// The release of Debian that has it.
    suite: &'static str,
}

/// Oldest first; the last one is whatever Debian has newest.
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
    /// Where it is from.
    pub(crate) series: Series,
    /// Its version, from the package's name.
    pub(crate) version: String,
    /// The image.
    pub(crate) image: PathBuf,
}

/// The series that `name` asks for: its own name, or the beginning of a version.
pub(crate) fn series(name: &str) -> Result<Series> {
    let known = SERIES.into_iter().find(|series| series.name == name);
    known.with_context(|| {
        let names = SERIES.map(|series| series.name).join(", ");
        format!("no kernel series `{name}`; there are {names}")
    })
}

/// The kernel of `series` in `cache`, fetched when it isn't there or `refresh` asks for it.
pub(super) fn ready(cache: &Path, series: Series, refresh: bool) -> Result<Kernel> {
    let folder = cache.join("kernels").join(series.suite);
    if !refresh && let Some(kernel) = cached(&folder, series) {
        return Ok(kernel);
    }
    println!(
        "  fetch    kernel {} (Debian {}, through apt)",
        series.name, series.suite
    );
    fetch(&folder, series).with_context(|| format!("fetching a kernel of {}", series.suite))?;
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

fn fetch(folder: &Path, series: Series) -> Result<()> {
    let apt = Apt::new(&folder.join("apt"), series.suite)?;
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
        // From 7.x on the image is in a package of its own.
        apt.unpack(&format!("linux-binary-{version}"), &work)?;
        image = find_image(&work);
    }
    let image = image.with_context(|| format!("no vmlinuz in {package}"))?;
    fs::copy(&image, folder.join("vmlinuz"))?;
    // Last: it says that the rest is complete.
    fs::write(folder.join("version"), &version)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// A regular file called `vmlinuz…`; links could lead anywhere.
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
    fn a_series_is_known_by_its_name_only() {
        assert!(series("5.10").is_ok_and(|it| it.suite == "bullseye"));
        assert!(series("newest").is_ok_and(|it| it.suite == "sid"));
        let error = series("4.19").map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("5.10, 6.1, 6.12, newest")));
    }
}
