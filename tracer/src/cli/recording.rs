//! What `record`, `watch --record` and `deploy --record` share: rotation, and messages about a
//! recording.

use std::fmt::Display;
use std::path::PathBuf;

use tracer_capture::{Notice, Rotation, Summary};
use tracer_model::quantity::bytes;

/// How many files are kept without `--keep`.
const KEEP: u32 = 8;

/// The smallest sensible size: every file begins with everything known at that time.
const LEAST_BYTES: u64 = 1 << 20;

/// `--rotate` and `--keep`.
#[derive(Debug, clap::Args)]
pub(super) struct RotationArgs {
    /// Begin a new file at this size, for example 64M or 1G; older files become FILE.1, FILE.2 …
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rotate: Option<u64>,

    /// Keep this many files, including the one being written [default: 8]
    #[arg(long, value_name = "COUNT", requires = "rotate",
        value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

impl RotationArgs {
    pub(super) fn rotation(&self) -> Option<Rotation> {
        let keep = self.keep.unwrap_or(KEEP);
        self.rotate.map(|bytes| Rotation { bytes, keep })
    }
}

/// The file of `--record`. It can't be standard output, which has the findings, or the output of
/// `deploy`'s command.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("expected a file name".to_owned()),
        "-" => Err(
            "standard output is in use; to stream a capture, use `tracer record -o -`".to_owned(),
        ),
        path => Ok(path.into()),
    }
}

/// Parses a size: `64M`, `1G`, `2048k`; powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write for example 64M or 1G");
    let digits = text.trim_end_matches(['B', 'b']).trim_end_matches('i');
    let (number, shift) = match digits.chars().last() {
        Some('k' | 'K') => (&digits[..digits.len() - 1], 10),
        Some('m' | 'M') => (&digits[..digits.len() - 1], 20),
        Some('g' | 'G') => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let size = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if size < LEAST_BYTES {
        return Err(format!("`{text}` is too small; the smallest size is 1M"));
    }
    Ok(size)
}

/// Prints a notice about the recording on standard error.
pub(super) fn print_notice(notice: Notice) {
    match notice {
        Notice::Stopped { why } => eprintln!(
            "tracer: recording has stopped: {why}. Watching continues, and recording resumes when the \
             file can be written again."
        ),
        Notice::Resumed { lost } => {
            eprintln!(
                "tracer: recording resumed; {lost} observations are missing from the capture"
            );
        }
        Notice::Gone => {
            eprintln!("tracer: recording stopped: nobody reads the capture any more");
        }
        Notice::Trouble(text) => eprintln!("tracer: {text}"),
    }
}

/// Prints the summary of a finished recording on standard error.
pub(super) fn print_summary(target: &dyn Display, summary: Option<Summary>) {
    let Some(summary) = summary else {
        eprintln!("tracer: the end of the recording could not be written to {target} in time");
        return;
    };
    let Summary {
        observations,
        lost,
        bytes: written,
        files,
    } = summary;
    let files = match files {
        0 | 1 => String::new(),
        files => format!(", {files} files"),
    };
    let lost = match lost {
        0 => String::new(),
        lost => format!("; {lost} more could not be written"),
    };
    eprintln!(
        "tracer: recorded {observations} observations to {target} ({}{files}){lost}",
        bytes(written)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_as_users_write_them() {
        for (text, want) in [
            ("64M", 64 << 20),
            ("1G", 1 << 30),
            ("2GiB", 2 << 30),
            ("2048k", 2 << 20),
            ("10MB", 10 << 20),
            ("1048576", 1 << 20),
        ] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in [
            "",
            "M",
            "much",
            "1T",
            "-1M",
            "1.5G",
            "100k",
            "99999999999G",
            "é",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
