//! The applications and keys in `fixtures/`.

use std::path::{Path, PathBuf};

/// A file of `fixtures/`.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}
