//! Debian's archive, for what guests need and this system need not have installed: through apt with
//! lists, cache and keyring of its own, so that apt checks the signatures and the system's own
//! sources and packages stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Where packages are; releases move to the second when support for them ends.
const MIRRORS: [&str; 2] = [
    "http://deb.debian.org/debian",
    "http://archive.debian.org/debian",
];
/// Debian's keys, from the package debian-archive-keyring.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with everything of its own in one folder.
pub(super) struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// With the lists of `suite`, from the first mirror that has it.
    pub(super) fn new(folder: &Path, suite: &str) -> Result<Self> {
        if !Path::new(KEYRING).is_file() {
            bail!("{KEYRING} is missing; run `cargo xtask setup --vm`");
        }
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
