//! When a tracing command stops: on a signal, after a time, or when nobody reads its output.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

/// Resolves when nobody can read standard output any more. Without this, a tracer on a quiet machine
/// would notice that only at its next finding.
pub(super) async fn reader_gone() {
    // Only pipes, sockets and terminals can be polled; a file has no reader that could go away.
    // SAFETY: standard output stays open as long as the process lives.
    let stdout = unsafe { AsyncFd::register_with_interest(io::stdout(), Interest::ERROR) };
    match stdout {
        Ok(stdout) => {
            // An error is as good as a closed pipe: nobody reads.
            let _ = stdout.ready(Interest::ERROR).await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// Resolves on SIGINT, SIGTERM or SIGHUP, or after `time`.
pub(super) fn stop_request(time: Option<Duration>) -> anyhow::Result<impl Future<Output = ()>> {
    let catch = |kind| signal(kind).context("cannot catch signals");
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        let timer = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = timer => {}
        }
    })
}

/// Parses a duration: `1.5s`, `10m`, `2h30m`; a bare number is in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example 90s, 10m, 2h or 1h30m");
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => jiff::SignedDuration::from_secs(seconds.into()),
        Err(_) => text.parse().map_err(|_| wrong())?,
    };
    Duration::try_from(parsed).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_users_write_them() {
        for (text, want_ms) in [
            ("90s", 90_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("45", 45_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(want_ms)), "{text}");
        }
        for text in ["", "soon", "5 parsecs", "-1s", "1..2s", "s", "1e400s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
