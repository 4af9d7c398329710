//! The workspace's packages, by what building them needs: taken from `cargo metadata`, so that a
//! new package is always included.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run;

/// Only the kernel programs depend on this. They are compiled for the BPF target.
const FOR_BPF: &str = "aya-ebpf";

/// A package that depends on this compiles the kernel programs in its build script.
const COMPILES_BPF: &str = "aya-build";

/// The names of the packages that are built for the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packages {
    /// Those that cargo alone can build.
    pub(crate) plain: Vec<String>,
    /// Those that also need the BPF toolchain.
    pub(crate) with_bpf: Vec<String>,
    /// The kernel programs.
    pub(crate) kernel_programs: Vec<String>,
}

impl Packages {
    /// The packages of this workspace.
    pub(crate) fn of_workspace() -> Result<Self> {
        let mut command = run::cargo()?;
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        let text = run::answer(&mut command).context("`cargo metadata` fails")?;
        Self::parse(&text).context("the output of `cargo metadata`")
    }

    /// `text` is the output of `cargo metadata --no-deps`.
    fn parse(text: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(text)?;
        let dependencies: BTreeMap<&str, BTreeSet<&str>> = metadata["packages"]
            .as_array()
            .context("no list of packages")?
            .iter()
            .filter_map(|package| {
                let dependencies = package["dependencies"].as_array()?.iter();
                let names = dependencies.filter_map(|it| it["name"].as_str());
                Some((package["name"].as_str()?, names.collect()))
            })
            .collect();
        let mut packages = Self {
            plain: Vec::new(),
            with_bpf: Vec::new(),
            kernel_programs: Vec::new(),
        };
        let with_bpf = dependents(&dependencies, COMPILES_BPF);
        for (&name, direct) in &dependencies {
            let group = if direct.contains(FOR_BPF) {
                &mut packages.kernel_programs
            } else if with_bpf.contains(name) {
                &mut packages.with_bpf
            } else {
                &mut packages.plain
            };
            group.push(name.to_owned());
        }
        Ok(packages)
    }
}

/// The packages that depend on `on`, directly or through others of the workspace.
fn dependents<'a>(
    dependencies: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    on: &str,
) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = found.len();
        for (&name, direct) in dependencies {
            if direct.contains(on) || !direct.is_disjoint(&found) {
                found.insert(name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(packages: &[(&str, &[&str])]) -> Packages {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<_> = dependencies
                    .iter()
                    .map(|dependency| json!({ "name": dependency }))
                    .collect();
                json!({ "name": name, "dependencies": dependencies })
            })
            .collect();
        Packages::parse(&json!({ "packages": packages }).to_string()).unwrap()
    }

    #[test]
    fn a_package_needs_the_bpf_toolchain_if_a_dependency_does() {
        let packages = parse(&[
            ("cli", &["kernel", "model", "anyhow"]),
            ("common", &[]),
            ("kernel", &["aya", "aya-build", "model"]),
            ("model", &["common"]),
            ("programs", &["aya-ebpf", "common"]),
            ("tests", &["aya"]),
        ]);
        assert_eq!(packages.plain, ["common", "model", "tests"]);
        assert_eq!(packages.with_bpf, ["cli", "kernel"]);
        assert_eq!(packages.kernel_programs, ["programs"]);
    }

    #[test]
    fn a_package_between_two_others_passes_the_need_on() {
        let packages = parse(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["aya-build"]),
            ("d", &[]),
        ]);
        assert_eq!(packages.with_bpf, ["a", "b", "c"]);
        assert_eq!(packages.plain, ["d"]);
    }

    #[test]
    fn this_workspace_has_packages_that_cargo_alone_can_build() {
        let packages = Packages::of_workspace().unwrap();
        for name in ["xtask", "tracer-common"] {
            assert!(packages.plain.contains(&name.to_owned()), "{packages:?}");
        }
        assert!(packages.with_bpf.contains(&"tracer".to_owned()));
        assert_eq!(packages.kernel_programs, ["tracer-ebpf"]);
    }

    #[test]
    fn text_that_is_not_metadata_is_an_error() {
        assert!(Packages::parse("{}").is_err());
        assert!(Packages::parse("no JSON").is_err());
    }
}
