//! The rules of this code base that no other tool knows.
//!
//! They read text, not syntax: coarse on purpose, so that a rule is a few lines and its message
//! says what to do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Verdict;
use crate::run;

/// A file longer than this says why in its module doc.
const MOST_LINES: usize = 600;

/// How a module doc gives that reason.
const REASON: &str = "over 600 lines because";

/// What the pure stages must not name: input, output, clocks, the runtime.
const IMPURE: [&str; 11] = [
    "std::fs",
    "std::process",
    "std::env",
    "File::open",
    "TcpStream",
    "UnixStream",
    "Instant::now",
    "SystemTime",
    "Zoned::now",
    "tokio::",
    "rustix::",
];

/// The folders that are pure.
const PURE: [&str; 2] = ["tracer/src/model/", "tracer/src/analyze/"];

/// The only folder that names aya.
const KERNEL: &str = "tracer/src/kernel/";

/// Reads every source file of the checkout.
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
        for complaint in complaints(&name, &text) {
            println!("{name}{complaint}");
            broken += 1;
        }
    }
    println!("house rules: {} files, {broken} complaints", files.len());
    Ok(if broken == 0 {
        Verdict::Passed
    } else {
        Verdict::Failed
    })
}

/// The Rust files below `folder`, without what cargo and git keep there.
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

/// What is wrong with the file called `name` from the checkout: `:<line>: <rule>`, or `: <rule>`.
fn complaints(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut doc = text.lines().take_while(|line| line.starts_with("//!"));
    let lines = text.lines().count();
    if lines > MOST_LINES && !doc.any(|line| line.contains(REASON)) {
        complaints.push(format!(
            ": {lines} lines; split it, or say `{REASON} …` in its module doc"
        ));
    }
    let pure = PURE.iter().any(|folder| name.starts_with(folder)) && !name.ends_with("tests.rs");
    let aya_free = name.starts_with("tracer/src/") && !name.starts_with(KERNEL);
    let mut in_tests = false;
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        in_tests |= code.starts_with("#[cfg(test)]");
        if is_allow(code) {
            complaints.push(format!(
                ":{number}: `allow` silences for ever; use #[expect(…, reason = \"…\")]"
            ));
        }
        if pure
            && !in_tests
            && let Some(what) = IMPURE.iter().find(|what| code.contains(*what))
        {
            complaints.push(format!(
                ":{number}: `{what}` in a pure stage; make it an observation"
            ));
        }
        if aya_free && !in_tests && names_aya(code) {
            complaints.push(format!(":{number}: only {KERNEL} touches aya"));
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

/// Whether `code` uses a path into aya.
fn names_aya(code: &str) -> bool {
    [
        "use aya",
        " aya::",
        "(aya::",
        "<aya::",
        "aya_log::",
        "aya_obj::",
    ]
    .iter()
    .any(|path| code.contains(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "let x = 1;\n".repeat(601);
        let excused =
            format!("//! A table.\n//!\n//! It is over 600 lines because rows are.\n{long}");
        assert_eq!(complaints("a.rs", &long).len(), 1);
        assert_eq!(complaints("a.rs", &excused), Vec::<String>::new());
        assert_eq!(complaints("a.rs", &"x\n".repeat(600)), Vec::<String>::new());
    }

    #[test]
    fn an_allow_is_found_in_every_form() {
        for attribute in [
            "#[allow(dead_code)]",
            "    #![allow(unused)]",
            "#[cfg_attr(test, allow(unused))]",
        ] {
            assert_eq!(complaints("a.rs", attribute).len(), 1, "{attribute}");
        }
        for fine in [
            "#[expect(dead_code, reason = \"x\")]",
            "// #[allow(dead_code)]",
            "let s = \"#[allow(x)]\";",
        ] {
            assert_eq!(complaints("a.rs", fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn a_pure_stage_does_no_input_outside_its_tests() {
        let code = "let now = Instant::now();\n";
        assert_eq!(complaints("tracer/src/analyze/world.rs", code).len(), 1);
        assert!(complaints("tracer/src/observe/clock.rs", code).is_empty());
        let tested = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert!(complaints("tracer/src/analyze/world.rs", &tested).is_empty());
    }

    #[test]
    fn only_the_kernel_stage_names_aya() {
        let code = "use aya::maps::RingBuf;\n";
        assert_eq!(complaints("tracer/src/observe/mod.rs", code).len(), 1);
        assert!(complaints("tracer/src/kernel/rings.rs", code).is_empty());
        assert!(complaints("tracer-ebpf/src/main.rs", "use aya_ebpf::Global;").is_empty());
    }
}
