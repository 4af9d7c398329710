//! The rules of this code base that no other tool checks.
//!
//! They read text, not syntax: each rule is a few lines, and its message says what to do. What the
//! stages of the pipeline may use is not checked here: their dependencies and clippy do that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::verdict::Verdict;
use crate::run;

/// The module doc of a longer file must give a reason.
const MOST_LINES: usize = 600;

/// How a module doc gives that reason.
const REASON: &str = "over 600 lines because";

/// Checks every source file of the checkout.
pub(super) fn check() -> Result<Verdict> {
    let root = run::root()?;
    let mut files = Vec::new();
    sources(&root, &mut files)?;
    files.sort();
    let mut broken = 0;
    for path in &files {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(path).to_string_lossy();
        for complaint in complaints(&text) {
            println!("{name}{complaint}");
            broken += 1;
        }
    }
    println!("house rules: {} files, {broken} complaints", files.len());
    Ok(Verdict::from(broken == 0))
}

/// The Rust files below `folder`, without the folders of cargo and git.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The rules that a file breaks: `:<line>: <rule>`, or `: <rule>`.
fn complaints(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut doc = text.lines().take_while(|line| line.starts_with("//!"));
    let lines = text.lines().count();
    if lines > MOST_LINES && !doc.any(|line| line.contains(REASON)) {
        complaints.push(format!(
            ": {lines} lines; split it, or say `{REASON} …` in its module doc"
        ));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if is_allow(line.trim_start()) {
            complaints.push(format!(
                ":{number}: `allow` silences a lint forever; use #[expect(…, reason = \"…\")]"
            ));
        }
    }
    complaints
}

/// Whether `code` begins with an attribute that allows a lint.
fn is_allow(code: &str) -> bool {
    let attribute = code.strip_prefix("#![").or_else(|| code.strip_prefix("#["));
    attribute.is_some_and(|attribute| {
        attribute.starts_with("allow(")
            || (attribute.starts_with("cfg_attr(") && attribute.contains(" allow("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "let x = 1;\n".repeat(601);
        let excused =
            format!("//! A table.\n//!\n//! It is over 600 lines because rows are.\n{long}");
        assert_eq!(complaints(&long).len(), 1);
        assert_eq!(complaints(&excused), Vec::<String>::new());
        assert_eq!(complaints(&"x\n".repeat(600)), Vec::<String>::new());
    }

    #[test]
    fn an_allow_is_found_in_every_form() {
        for attribute in [
            "#[allow(dead_code)]",
            "    #![allow(unused)]",
            "#[cfg_attr(test, allow(unused))]",
        ] {
            assert_eq!(complaints(attribute).len(), 1, "{attribute}");
        }
        for fine in [
            "#[expect(dead_code, reason = \"x\")]",
            "// #[allow(dead_code)]",
            "let s = \"#[allow(x)]\";",
        ] {
            assert_eq!(complaints(fine), Vec::<String>::new(), "{fine}");
        }
    }
}
