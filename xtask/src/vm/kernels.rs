//! Kernels for guests: Debian's cloud kernels, which have all that a guest needs built in.
//!
//! They come through apt with lists, cache and keyring of its own, so that apt checks the
//! signatures and the system's own sources stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run;

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

/// Where packages are; releases move to the second when support for them ends.
const MIRRORS: [&str; 2] = [
    "http://deb.debian.org/debian",
    "http://archive.debian.org/debian",
];
/// Debian's keys, from the package debian-archive-keyring.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
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
    if !Path::new(KEYRING).is_file() {
        bail!("{KEYRING} is missing; run `cargo xtask setup --vm`");
    }
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

/// apt with everything of its own in one folder.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// With the lists of `suite`, from the first mirror that has it.
    fn new(folder: &Path, suite: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        fs::write(folder.join("status"), "")?;
        let at = folder.display();
        let mut apt = Self {
            folder: folder.to_owned(),
            options: [
                format!("Dir::Etc::sourcelist={at}/sources.list"),
                "Dir::Etc::sourceparts=/dev/null".to_owned(),
                "Dir::Etc::preferences=/dev/null".to_owned(),
                "Dir::Etc::preferencesparts=/dev/null".to_owned(),
                format!("Dir::State={at}"),
                format!("Dir::State::lists={at}/lists"),
                format!("Dir::State::status={at}/status"),
                format!("Dir::Cache={at}/cache"),
                "APT::Architecture=amd64".to_owned(),
                "APT::Architectures::=amd64".to_owned(),
                // The folder is the user's; apt's own user may not enter it.
                "APT::Sandbox::User=root".to_owned(),
                "Acquire::Languages=none".to_owned(),
            ]
            .to_vec(),
        };
        let mut last = String::new();
        for (index, mirror) in MIRRORS.into_iter().enumerate() {
            let line = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
            fs::write(folder.join("sources.list"), line)?;
            if index > 0 {
                // An archived release is not signed anew.
                apt.options.push("Acquire::Check-Valid-Until=false".into());
            }
            let output = apt
                .command("apt-get")
                .args(["update", "-q", "--error-on=any"])
                .output()
                .context("starting apt-get")?;
            if output.status.success() {
                return Ok(apt);
            }
            last = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        bail!("`apt-get update` for {suite} failed: {}", last.trim())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command.current_dir(self.folder.join("debs"));
        command
    }

    fn answer(&self, program: &str, args: &[&str]) -> Result<String> {
        run::answer(self.command(program).args(args))
            .with_context(|| format!("`{program} {}` failed", args.join(" ")))
    }

    /// Downloads `package` and unpacks it into `into`.
    fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let debs = self.folder.join("debs");
        let _ = fs::remove_dir_all(&debs);
        fs::create_dir_all(&debs)?;
        let output = self
            .command("apt-get")
            .args(["download", "-q", package])
            .output()
            .context("starting apt-get")?;
        if !output.status.success() {
            bail!(
                "`apt-get download {package}` failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        for deb in fs::read_dir(&debs)?.flatten() {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(deb.path()).arg(into);
            if run::answer(&mut unpack).is_none() {
                bail!("{} can't be unpacked", deb.path().display());
            }
        }
        let _ = fs::remove_dir_all(&debs);
        fs::create_dir_all(&debs)?;
        Ok(())
    }
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
