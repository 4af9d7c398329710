//! `--color`.

use std::io;

use clap::ValueEnum;

/// When to write colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    /// If the output is a terminal and NO_COLOR is not set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether to write colours to standard output.
    pub(super) fn enabled(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                use anstream::ColorChoice as Choice;
                !matches!(anstream::AutoStream::choice(&io::stdout()), Choice::Never)
            }
        }
    }
}
