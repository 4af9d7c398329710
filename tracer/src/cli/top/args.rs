//! The arguments of `tracer top`.

use tracer_capture::Source;

use crate::cli::color::ColorChoice;
use crate::cli::config::ConfigArgs;
use crate::cli::filter::ServiceGlob;
use crate::cli::requests::RequestArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show only services whose names match GLOB (repeatable)
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(super) service: Vec<ServiceGlob>,

    /// Play back these captures instead of watching; the files of a rotation are one recording
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        value_parser = file,
        conflicts_with_all = ["http", "show_query", "config"]
    )]
    pub(super) replay: Vec<Source>,

    #[command(flatten)]
    pub(super) requests: RequestArgs,

    /// Colour the screen
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,

    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

/// A capture that can be read more than once.
fn file(text: &str) -> Result<Source, String> {
    match text {
        "" | "-" => Err("expected a file: playback reads it more than once".to_owned()),
        path => Ok(Source::File(path.into())),
    }
}
