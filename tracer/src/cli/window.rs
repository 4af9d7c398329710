//! `--since` and `--until`: points in time as users write them.

use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tracer_model::WallTime;

/// One end of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// An instant: RFC 3339.
    At(Timestamp),
    /// A local date and time.
    Local(DateTime),
    /// A local time of day: its first occurrence since the capture began.
    Clock(Time),
    /// A duration before now.
    Ago(SignedDuration),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a time; write for example 14:05, 2026-03-01 14:05, 2026-03-01T14:05:00Z or -10m"
            )
        };
        if let Some(ago) = text.strip_prefix('-') {
            let ago: SignedDuration = ago.parse().map_err(|_| wrong())?;
            return if ago.is_negative() {
                Err(wrong())
            } else {
                Ok(Self::Ago(ago))
            };
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        if let Ok(time) = text.parse::<Time>()
            && text.contains(':')
        {
            return Ok(Self::Clock(time));
        }
        text.parse().map(Self::Local).map_err(|_| wrong())
    }
}

impl When {
    /// The instant that this means for a capture that begins at `begins`.
    pub(super) fn resolve(&self, begins: WallTime, now: Timestamp, zone: &TimeZone) -> WallTime {
        let local = |at: DateTime| zone.to_ambiguous_zoned(at).compatible().ok();
        let at = match self {
            Self::At(at) => Some(*at),
            Self::Local(at) => local(*at).map(|at| at.timestamp()),
            Self::Ago(ago) => now.checked_sub(*ago).ok(),
            Self::Clock(time) => {
                let begins = begins.to_jiff();
                let today = begins.to_zoned(zone.clone()).date();
                let of = |day: jiff::civil::Date| local(day.to_datetime(*time));
                match of(today) {
                    Some(at) if at.timestamp() < begins => today
                        .checked_add(1.day())
                        .ok()
                        .and_then(of)
                        .map(|at| at.timestamp()),
                    at => at.map(|at| at.timestamp()),
                }
            }
        };
        // A time that nanoseconds can't express is earlier or later than any capture.
        let ns = at.map_or(0, Timestamp::as_nanosecond);
        WallTime(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> String {
        let begins = WallTime(1_700_000_000_000_000_000); // 2023-11-14T22:13:20Z
        let now: Timestamp = "2023-11-15T08:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let when: When = text.parse().unwrap();
        when.resolve(begins, now, &zone).to_jiff().to_string()
    }

    #[test]
    fn times_are_parsed_as_users_write_them() {
        for (text, want) in [
            ("2023-11-14T22:30:00Z", "2023-11-14T22:30:00Z"),
            ("2023-11-14T23:30:00.5+01:00", "2023-11-14T22:30:00.5Z"),
            ("2023-11-14 23:30", "2023-11-14T22:30:00Z"),
            ("2023-11-14T23:30:00", "2023-11-14T22:30:00Z"),
            ("23:30", "2023-11-14T22:30:00Z"),
            ("23:30:15", "2023-11-14T22:30:15Z"),
            ("-10m", "2023-11-15T07:50:00Z"),
            ("-1h30m", "2023-11-15T06:30:00Z"),
        ] {
            assert_eq!(resolved(text), want, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_before_the_capture_began_is_on_the_next_day() {
        assert_eq!(resolved("07:00"), "2023-11-15T06:00:00Z");
    }

    #[test]
    fn anything_else_is_rejected() {
        for text in [
            "",
            "noon",
            "25:00",
            "-",
            "--1m",
            "-soon",
            "1700000000",
            "2023-13-01",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }
}
