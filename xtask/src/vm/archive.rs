//! Debian packages for guests, fetched with apt. This apt has lists, a cache and a keyring of its
//! own: it checks the signatures, and this system's sources and packages stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::mirrors::{self, Mirrors};
use super::software::KEYRING;
use crate::run;

/// apt with all its files in one folder.
pub(super) struct Apt {
    folder: PathBuf,
    options: Vec<String>,
    mirror: String,
}

impl Apt {
    /// With the lists of `suite`, from the first mirror that has it.
    pub(super) fn new(folder: &Path, mirrors: &Mirrors, suite: &str) -> Result<Self> {
        if !Path::new(KEYRING).is_file() {
            bail!("{KEYRING} is missing; run `cargo xtask setup --vm`");
        }
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        fs::write(folder.join("status"), "")?;
        let mut apt = Self {
            folder: folder.to_owned(),
            options: options(folder),
            mirror: String::new(),
        };
        let mut failures = Vec::new();
        for mirror in mirrors.all() {
            let line = format!("{}\n", source(mirror, suite));
            fs::write(folder.join("sources.list"), line)?;
            let output = apt
                .command("apt-get")
                .args(["update", "-q", "--error-on=any"])
                .output()
                .context("starting apt-get")?;
            if output.status.success() {
                apt.mirror.clone_from(mirror);
                return Ok(apt);
            }
            let why = String::from_utf8_lossy(&output.stderr);
            failures.push((mirror.as_str(), why.into_owned()));
        }
        bail!("{}", no_mirror(suite, &failures))
    }

    /// The mirror that has the suite.
    pub(super) fn mirror(&self) -> &str {
        &self.mirror
    }

    /// A command that is killed when this program exits.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", program]);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command.current_dir(self.folder.join("debs"));
        command
    }

    pub(super) fn answer(&self, program: &str, args: &[&str]) -> Result<String> {
        run::answer(self.command(program).args(args))
            .with_context(|| format!("`{program} {}` failed", args.join(" ")))
    }

    /// Downloads `package` and unpacks it into `into`.
    pub(super) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
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

/// The line for apt's list of sources.
pub(super) fn source(mirror: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {suite} main")
}

fn options(folder: &Path) -> Vec<String> {
    let at = folder.display();
    [
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
    .to_vec()
}

/// What to do when no mirror has `suite`: each mirror and apt's messages about it.
fn no_mirror(suite: &str, failures: &[(&str, String)]) -> String {
    let variable = mirrors::VARIABLE;
    let advice = format!(
        "Set {variable} to the address of a Debian mirror that has {suite}. Debian moves releases \
         that are no longer supported to an archive: use a mirror of that archive if {suite} is \
         old. Addresses in {variable} are separated by spaces and tried first."
    );
    if failures.is_empty() {
        return format!(
            "no Debian mirror is known: apt has none in its configuration, and mmdebstrap has no \
             default. {advice}"
        );
    }
    let failures: Vec<_> = failures
        .iter()
        .map(|(mirror, why)| {
            let error = why.lines().find(|line| line.starts_with("E: "));
            let error = error.unwrap_or(why).trim_start_matches("E: ").trim();
            format!("\n  {mirror}: {error}")
        })
        .collect();
    format!(
        "no known mirror has Debian {suite}:{}\n{advice}",
        failures.join("")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_suite_is_an_error_that_says_what_to_set() {
        let why = "W: noise\nE: The repository has no Release file.\nE: more\n".to_owned();
        let text = no_mirror("bullseye", &[("http://a.example/debian", why)]);
        assert!(
            text.contains("\n  http://a.example/debian: The repository has no Release file.\n"),
            "{text}"
        );
        assert!(text.contains("Set TRACER_DEBIAN_MIRROR"), "{text}");
        let text = no_mirror("sid", &[]);
        assert!(text.contains("no Debian mirror is known"), "{text}");
        assert!(text.contains("Set TRACER_DEBIAN_MIRROR"), "{text}");
    }
}
