//! The arguments of `tracer deploy`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracer_model::Kind;
use tracer_present::report::Format;

use crate::cli::color::ColorChoice;
use crate::cli::config::ConfigArgs;
use crate::cli::filter::ServiceGlob;
use crate::cli::recording::{self, RotationArgs};
use crate::cli::requests::RequestArgs;
use crate::cli::stop::duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long to keep watching after the command; every service that went down must be listening
    /// again by then
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(super) grace: Duration,

    /// Exit with 3 if a finding of one of these kinds happened [default: death, listener_down,
    /// request_failed]. Stops that the deployment requested, and listeners that came back, don't count
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(super) fail_on: Vec<Kind>,

    /// Also record to this file, for `tracer replay`
    #[arg(long, value_name = "FILE", value_parser = recording::file)]
    pub(super) record: Option<PathBuf>,

    #[command(flatten)]
    pub(super) rotation: RotationArgs,

    /// Judge only findings about services whose names match GLOB (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(super) service: Vec<ServiceGlob>,

    /// Write a report on the deployment to FILE.html, FILE.md or FILE.json
    #[arg(long, value_name = "FILE", value_parser = ReportFile::parse)]
    pub(super) report: Option<ReportFile>,

    #[command(flatten)]
    pub(super) requests: RequestArgs,

    /// Colour the verdict
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,

    #[command(flatten)]
    pub(super) config: ConfigArgs,

    /// The deployment's command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// The file of `--report`; its extension chooses the format.
#[derive(Clone, Debug)]
pub(super) struct ReportFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

impl ReportFile {
    fn parse(text: &str) -> Result<Self, String> {
        let format = match Path::new(text).extension().and_then(|it| it.to_str()) {
            Some("html" | "htm") => Format::Html,
            Some("md") => Format::Md,
            Some("json") => Format::Json,
            _ => return Err(format!("`{text}` does not end in .html, .md or .json")),
        };
        Ok(Self {
            path: text.into(),
            format,
        })
    }
}
