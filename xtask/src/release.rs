//! `cargo xtask release-notes TAG`: whether a tag may become a release, and the release's text.
//!
//! A release is a tag `v<version>` whose version is the workspace's and has a section in
//! `CHANGELOG.md`. The release workflow runs this first; it publishes nothing itself.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// The version that every crate of the workspace has.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const CHANGELOG: &str = "CHANGELOG.md";

/// Which tag.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tag: v and the version in Cargo.toml
    tag: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    check_tag(&args.tag, VERSION)?;
    let path = run::root()?.join(CHANGELOG);
    let changelog =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    println!("{}", section(&changelog, VERSION)?);
    Ok(ExitCode::SUCCESS)
}

/// Refuses a tag that does not name `version`.
fn check_tag(tag: &str, version: &str) -> Result<()> {
    if tag.strip_prefix('v') != Some(version) {
        bail!(
            "the tag {tag} does not match version {version} in Cargo.toml: tag v{version}, or \
             change `version` under [workspace.package]"
        );
    }
    Ok(())
}

/// What `changelog` says below the heading `## <version>`, which a date may follow.
fn section<'a>(changelog: &'a str, version: &str) -> Result<&'a str> {
    let mut from = None;
    let mut end = changelog.len();
    let mut offset = 0;
    for line in changelog.split_inclusive('\n') {
        let next = offset + line.len();
        if let Some(heading) = line.strip_prefix("## ") {
            if from.is_some() {
                end = offset;
                break;
            }
            if heading.split_whitespace().next() == Some(version) {
                from = Some(next);
            }
        }
        offset = next;
    }
    let from = from.with_context(|| {
        format!(
            "{CHANGELOG} has no section `## {version}`: rename `## Unreleased` to it, with the date"
        )
    })?;
    let text = changelog[from..end].trim();
    if text.is_empty() {
        bail!("the section `## {version}` of {CHANGELOG} is empty");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\nLater.\n\n## 0.2.0 (2026-12-01)\n\n\
                             ### Added\n\n- A thing.\n\n## 0.1.0\n\nThe first.\n\n## 0.0.1\n";

    #[test]
    fn a_section_ends_where_the_next_version_begins() {
        let text = section(CHANGELOG, "0.2.0").unwrap();
        assert_eq!(text, "### Added\n\n- A thing.");
        assert_eq!(section(CHANGELOG, "0.1.0").unwrap(), "The first.");
    }

    #[test]
    fn a_version_without_text_is_refused() {
        for (version, why) in [("0.3.0", "has no section"), ("0.0.1", "is empty")] {
            let error = section(CHANGELOG, version).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_version_is_not_found_by_its_beginning() {
        assert!(section("## 0.1.0-rc.1\n\nText.\n", "0.1.0").is_err());
    }

    #[test]
    fn only_the_tag_of_the_version_is_accepted() {
        assert!(check_tag("v0.1.0", "0.1.0").is_ok());
        for tag in ["0.1.0", "v0.1.1", "v0.1.0-rc.1", "vv0.1.0", "v"] {
            assert!(check_tag(tag, "0.1.0").is_err(), "{tag}");
        }
    }
}
