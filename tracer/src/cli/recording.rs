//! What `record` and `watch --record` share: rotation, and what is said about a recording.

use std::fmt::Display;
use std::path::PathBuf;

use tracer_capture::{Notice, Rotation, Summary};
use tracer_model::quantity::bytes;

/// How many files are kept unless `--keep` says otherwise.
const KEEP: u32 = 8;

/// The least that makes sense: every file begins with all that is known.
const LEAST_BYTES: u64 = 1 << 20;

/// `--rotate` and `--keep`.
#[derive(Debug, clap::Args)]
pub(super) struct RotationArgs {
    /// Begin a new file when this one has so many bytes: 64M, 1G; older ones become FILE.1, FILE.2 …
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rotate: Option<u64>,

    /// Keep so many files, the one being written included [default: 8]
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

/// The file of `watch --record`: findings are on standard output already.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("expected a file".to_owned()),
        "-" => Err(
            "the findings go to standard output; to stream a capture: tracer record -o -"
                .to_owned(),
        ),
        path => Ok(path.into()),
    }
}

/// Bytes as users write them: `64M`, `1G`, `500k`; powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write 64M or 1G");
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
        return Err(format!("`{text}` is too small; files have at least 1M"));
    }
    Ok(size)
}

/// Says on standard error what the user should know at once.
pub(super) fn tell(notice: Notice) {
    match notice {
        Notice::Stopped { why } => eprintln!(
            "tracer: recording has stopped: {why}. Watching goes on, and recording resumes when it \
             can be written again."
        ),
        Notice::Resumed { lost } => {
            eprintln!("tracer: recording again; {lost} observations are missing from the capture");
        }
        Notice::Gone => {
            eprintln!("tracer: recording has ended: nobody reads the capture any more");
        }
        Notice::Trouble(text) => eprintln!("tracer: {text}"),
    }
}

/// Says on standard error what a recording came to.
pub(super) fn tell_summary(target: &dyn Display, summary: Option<Summary>) {
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
    fn sizes_are_read_as_users_write_them() {
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
