//! Instants: boot time, as in observations, and wall time, as in findings.

use std::fmt;
use std::ops::Sub;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// CLOCK_BOOTTIME, nanoseconds since boot: the time of every observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` plus `by`, saturating.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// `self` minus `by`, saturating.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Nanoseconds since 1970-01-01 UTC. Serialised as RFC 3339 with nanoseconds, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Reads RFC 3339: `2026-11-27T21:08:59.235Z`. None also for what doesn't fit.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(at.as_nanosecond()).ok().map(Self)
    }

    /// `self` plus `by`; None when that doesn't fit.
    #[must_use]
    pub fn after(self, by: Duration) -> Option<Self> {
        let by = i64::try_from(by.as_nanos()).ok()?;
        self.0.checked_add(by).map(Self)
    }

    /// The same instant for `jiff`, which formats it.
    pub fn to_jiff(self) -> jiff::Timestamp {
        // Every i64 of nanoseconds (1677 to 2262) is inside jiff's range.
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", self.to_jiff())
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for WallTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339, UTC, nanoseconds"
        })
    }
}

/// Both clocks at one instant; observed at the start and whenever the wall clock is stepped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockAnchor {
    /// CLOCK_BOOTTIME.
    pub boot: Timestamp,
    /// CLOCK_REALTIME at the same moment.
    pub wall: WallTime,
}

impl ClockAnchor {
    /// Wall time of `at`.
    pub fn wall(&self, at: Timestamp) -> WallTime {
        let delta = i128::from(at.0) - i128::from(self.boot.0);
        let wall = (i128::from(self.wall.0) + delta).clamp(i64::MIN.into(), i64::MAX.into());
        WallTime(i64::try_from(wall).unwrap_or(i64::MAX))
    }

    /// The instant of a wall time; None when it is before boot.
    pub fn boot(&self, wall: WallTime) -> Option<Timestamp> {
        let delta = i128::from(wall.0) - i128::from(self.wall.0);
        let boot = i128::from(self.boot.0) + delta;
        u64::try_from(boot).ok().map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_rfc3339_with_nanoseconds() {
        assert_eq!(
            WallTime(1_700_000_000_000_000_001).to_string(),
            "2023-11-14T22:13:20.000000001Z"
        );
    }

    #[test]
    fn wall_time_is_read_as_logs_write_it() {
        let at = WallTime(1_700_000_000_235_000_000);
        for text in ["2023-11-14T22:13:20.235Z", "2023-11-14T23:13:20.235+01:00"] {
            assert_eq!(WallTime::parse(text), Some(at), "{text}");
        }
        assert_eq!(WallTime::parse("22/Nov/2023:23:53:49"), None);
        let later = WallTime(1_700_000_001_235_000_000);
        assert_eq!(at.after(Duration::from_secs(1)), Some(later));
        assert_eq!(at.after(Duration::MAX), None);
    }

    #[test]
    fn an_anchor_converts_instants_before_and_after_it() {
        let anchor = ClockAnchor {
            boot: Timestamp(1_000),
            wall: WallTime(50_000),
        };
        assert_eq!(anchor.wall(Timestamp(1_500)), WallTime(50_500));
        assert_eq!(anchor.wall(Timestamp(500)), WallTime(49_500));
        assert_eq!(anchor.boot(WallTime(50_500)), Some(Timestamp(1_500)));
        assert_eq!(anchor.boot(WallTime(48_999)), None);
        let extreme = ClockAnchor {
            boot: Timestamp(0),
            wall: WallTime(i64::MAX),
        };
        assert_eq!(extreme.wall(Timestamp(u64::MAX)), WallTime(i64::MAX));
    }
}
