//! Shows the instants of a report in one time zone.

use jiff::tz::TimeZone;
use tracer_model::WallTime;

use super::formatting::{ms, ms_between};
use super::model::Report;

/// Shows instants in one time zone.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    /// Whether the report covers several days, so that a time needs its date.
    days: bool,
}

impl Clock {
    /// A clock for `report` in `zone`.
    pub(super) fn new(report: &Report, zone: TimeZone) -> Self {
        let date = |at: WallTime| at.to_jiff().to_zoned(zone.clone()).date();
        let days = match (report.from, report.to) {
            (Some(from), Some(to)) => date(from) != date(to),
            _ => false,
        };
        Self { zone, days }
    }

    /// `14:30:01.482`, with the date if the report covers several days.
    pub(super) fn time(&self, at: WallTime) -> String {
        let format = if self.days {
            "%Y-%m-%d %H:%M:%S%.3f"
        } else {
            "%H:%M:%S%.3f"
        };
        self.format(at, format)
    }

    /// `2026-11-22 14:30:01`.
    pub(super) fn date_time(&self, at: WallTime) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S")
    }

    /// `UTC`, `CET`, `+05:30`.
    pub(super) fn zone_at(&self, at: WallTime) -> String {
        self.format(at, "%Z")
    }

    /// Seconds east of UTC.
    pub(super) fn offset_seconds(&self, at: WallTime) -> i32 {
        self.zone.to_offset(at.to_jiff()).seconds()
    }

    /// The time that the report covers: `2026-11-22 14:30:00 to 14:31:03 UTC (1m03s)`.
    pub(super) fn window(&self, from: WallTime, to: WallTime) -> String {
        let end = if self.days {
            self.date_time(to)
        } else {
            self.format(to, "%H:%M:%S")
        };
        format!(
            "{} to {end} {} ({})",
            self.date_time(from),
            self.zone_at(to),
            ms(ms_between(from, to))
        )
    }

    /// In a format of `strftime`.
    pub(super) fn format(&self, at: WallTime, format: &str) -> String {
        at.to_jiff()
            .to_zoned(self.zone.clone())
            .strftime(format)
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_show_the_date_only_if_the_report_covers_several_days() {
        let at = WallTime(1_795_357_801_482_000_000);
        let clock = |days| Clock {
            zone: TimeZone::UTC,
            days,
        };
        assert_eq!(clock(false).time(at), "14:30:01.482");
        assert_eq!(clock(true).time(at), "2026-11-22 14:30:01.482");
        assert_eq!(
            clock(false).window(at, WallTime(at.0 + 62_000_000_000)),
            "2026-11-22 14:30:01 to 14:31:03 UTC (1m02s)"
        );
    }
}
