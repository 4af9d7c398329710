//! Finds and reads `tracer.toml`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tracer_analysis::rules::Rules;

/// Read without `--config`, if it exists.
const DEFAULT_PATH: &str = "/etc/tracer.toml";

/// Far more than a sensible configuration needs.
const MAX_BYTES: u64 = 1 << 20;

/// `--config`, shared by the commands that name services.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Read [[service]] rules from FILE [default: /etc/tracer.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The rules of the given file, or else of the default file, or else none.
    pub(super) fn load(&self) -> anyhow::Result<Rules> {
        match &self.config {
            Some(path) => read(path),
            None if Path::new(DEFAULT_PATH).exists() => read(Path::new(DEFAULT_PATH)),
            None => Ok(Rules::none()),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Rules> {
    let shown = path.display();
    let file =
        fs::File::open(path).with_context(|| format!("cannot open the configuration {shown}"))?;
    let mut text = String::new();
    let read = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the configuration {shown}"))?;
    if read as u64 > MAX_BYTES {
        bail!("the configuration {shown} is larger than 1 MiB; check that it is the right file");
    }
    Ok(Rules::parse(&text, &shown.to_string())?)
}
