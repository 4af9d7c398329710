//! Words that every form of a report uses: counts, times, costs. Causes and failures have their words
//! from the model.

use std::time::Duration;

use jiff::tz::TimeZone;
use tracer_model::quantity;
use tracer_model::{IncidentState, LostRequest, LostRequests, WallTime};

use super::model::{IncidentReport, Report, Totals};

/// `1 request failed`, `12 345 requests failed`: long numbers are grouped.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A number in groups of three: `12 345`, the spaces narrow and unbreakable.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + 6);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number of milliseconds in words.
pub(super) fn ms(ms: f64) -> String {
    quantity::duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

/// The same of whole ones.
pub(super) fn whole_ms(ms: u64) -> String {
    quantity::duration(Duration::from_millis(ms))
}

/// `+151 ms`: the time since an incident's first step.
pub(super) fn after(after_ms: f64) -> String {
    if after_ms == 0.0 {
        "0".to_owned()
    } else {
        format!("+{}", ms(after_ms))
    }
}

/// From `earlier` to `later`, ms; 0 when it is the other way round.
pub(super) fn ms_between(earlier: WallTime, later: WallTime) -> f64 {
    let ns = later.0.saturating_sub(earlier.0).max(0);
    quantity::millis(Duration::from_nanos(ns.unsigned_abs()))
}

/// That it was not the first time: `the 4th death like it, usually every 2h00m`.
pub(super) fn again(incident: &IncidentReport) -> Option<String> {
    let alike = incident.alike.as_ref()?;
    let nth = alike.count + 1;
    let suffix = match (nth % 10, nth % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    let mut again = format!("the {nth}{suffix} death like it");
    if let Some(interval) = alike.interval_ms {
        let interval = ms(interval);
        again = match alike.count {
            1 => format!("{again}, {interval} after the one before"),
            _ => format!("{again}, usually every {interval}"),
        };
    }
    Some(again)
}

/// `down for 3.33 s`, or what else can be said of its length.
pub(super) fn downtime(incident: &IncidentReport) -> String {
    match (incident.state, incident.down_ms) {
        (IncidentState::Closed, Some(down)) => format!("down for {}", ms(down)),
        (IncidentState::Closed, None) => "never down".to_owned(),
        (IncidentState::Open, Some(down)) => format!("still down after {}", ms(down)),
        (IncidentState::Open, None) => "not over".to_owned(),
    }
}

/// What an incident cost; empty when nothing.
pub(super) fn costs(incident: &IncidentReport) -> Vec<String> {
    let mut costs = Vec::new();
    if incident.requests.count > 0 {
        costs.push(counted(
            incident.requests.count,
            "request failed",
            "requests failed",
        ));
    }
    if incident.connections_cut > 0 {
        costs.push(counted(
            incident.connections_cut,
            "connection cut",
            "connections cut",
        ));
    }
    if incident.connects_failed > 0 {
        costs.push(counted(
            incident.connects_failed,
            "connect failed",
            "connects failed",
        ));
    }
    costs
}

/// The whole in one line of facts.
pub(super) fn totals(totals: &Totals) -> Vec<String> {
    let mut facts = vec![counted(totals.incidents, "incident", "incidents")];
    let mut deaths = counted(totals.deaths, "death", "deaths");
    if totals.oom_kills > 0 {
        deaths = format!("{deaths} ({} by OOM)", number(totals.oom_kills));
    }
    facts.push(deaths);
    facts.push(counted(
        totals.requests_failed,
        "request failed",
        "requests failed",
    ));
    if totals.down_ms > 0.0 {
        facts.push(format!("{} down", ms(totals.down_ms)));
    }
    facts
}

/// `GET /api/orders/{n}`; `a request` when neither is known.
pub(super) fn template(lost: &LostRequests) -> String {
    request(lost.method.as_deref(), lost.template.as_deref())
}

/// `GET /api/orders/17`.
pub(super) fn lost_request(lost: &LostRequest) -> String {
    request(lost.method.as_deref(), lost.path.as_deref())
}

/// Method and path, as far as known.
pub(super) fn request(method: Option<&str>, path: Option<&str>) -> String {
    match (method, path) {
        (Some(method), Some(path)) => format!("{method} {path}"),
        (None, Some(path)) => path.to_owned(),
        (Some(method), None) => format!("{method}, path not seen"),
        (None, None) => "request not seen in detail".to_owned(),
    }
}

/// A status, or that there was none.
pub(super) fn status(status: Option<u16>) -> String {
    status.map_or_else(|| "no response".to_owned(), |status| status.to_string())
}

/// What is said where there is nothing to tell.
pub(super) fn nothing(report: &Report) -> &'static str {
    if report.from.is_none() {
        "There are no findings."
    } else {
        "Nothing died and nothing failed while the tracer watched."
    }
}

/// Writes instants as people in one time zone read them.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    /// The report covers several days: a time alone would not do.
    days: bool,
}

impl Clock {
    /// For a report, in `zone`.
    pub(super) fn new(report: &Report, zone: TimeZone) -> Self {
        let date = |at: WallTime| at.to_jiff().to_zoned(zone.clone()).date();
        let days = match (report.from, report.to) {
            (Some(from), Some(to)) => date(from) != date(to),
            _ => false,
        };
        Self { zone, days }
    }

    /// `14:30:01.482`, with the day when the report covers several.
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

    /// What was watched: `2026-11-22 14:30:00 to 14:31:03 UTC (1m03s)`.
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

    /// As `format` says, for strftime.
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
    fn numbers_are_grouped_from_five_digits_on() {
        for (count, want) in [
            (0, "0"),
            (9_999, "9999"),
            (12_345, "12\u{202f}345"),
            (1_234_567, "1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(number(count), want);
        }
    }

    #[test]
    fn times_tell_the_day_only_when_there_are_several() {
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
