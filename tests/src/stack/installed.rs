//! Finds the programs that `cargo xtask setup --tests` installs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A program in `PATH` or a folder for administrators. Its file name is `name`, with or without a
/// version at the end.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let is_it = |file: &OsStr| {
        file.to_str()
            .and_then(|file| file.strip_prefix(name))
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .filter_map(|folder| folder.read_dir().ok())
        .flat_map(Iterator::flatten)
        .find(|file| is_it(&file.file_name()))
        .unwrap_or_else(|| panic!("{name} is not installed: run `cargo xtask setup --tests`"))
        .path()
}

/// A program that the test set-up installed from PyPI.
#[track_caller]
pub fn from_pypi(path: &str) -> PathBuf {
    let cache = std::env::var_os("TRACER_TEST_CACHE")
        .expect("TRACER_TEST_CACHE is not set: run `cargo xtask test`");
    let program = Path::new(&cache).join("pypi").join(path);
    assert!(
        program.exists(),
        "{} is not installed: run `cargo xtask setup --tests`",
        program.display()
    );
    program
}
