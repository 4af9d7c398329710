//! Numbers, durations and phrases that every format of a report shares. Causes and failures have their
//! phrases in `tracer_model::wording`.

use std::time::Duration;

use tracer_model::quantity;
use tracer_model::{IncidentState, LostRequest, LostRequests, WallTime, wording};

use super::model::{Alike, IncidentReport, Report, ServiceTotals, Totals};

/// `1 request failed`, `12 345 requests failed`: long numbers are grouped.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A number in groups of three digits, separated by narrow no-break spaces: `12 345`.
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

/// Milliseconds as a duration: `3.33 s`.
pub(super) fn ms(ms: f64) -> String {
    wording::milliseconds(ms)
}

/// Whole milliseconds as a duration.
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

/// From `earlier` to `later`, ms; 0 if they are in the other order.
pub(super) fn ms_between(earlier: WallTime, later: WallTime) -> f64 {
    let ns = later.0.saturating_sub(earlier.0).max(0);
    quantity::millis(Duration::from_nanos(ns.unsigned_abs()))
}

/// `This is the fourth such death, usually every 2h00m.` None for the first.
pub(super) fn recurrence(incident: &IncidentReport) -> Option<String> {
    let alike = incident.alike.as_ref()?;
    let nth = ordinal(alike.count + 1);
    let interval = match (alike.interval_ms.map(ms), alike.count) {
        (Some(interval), 1) => format!(", {interval} after the previous one"),
        (Some(interval), _) => format!(", usually every {interval}"),
        (None, _) => String::new(),
    };
    Some(format!("This is the {nth} such death{interval}."))
}

/// `fourth`, `12th`.
fn ordinal(nth: u64) -> String {
    const FIRST: [&str; 10] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth",
    ];
    let index = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1));
    if let Some(word) = index.and_then(|index| FIRST.get(index)) {
        return (*word).to_owned();
    }
    let suffix = match (nth % 10, nth % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{nth}{suffix}")
}

/// `3 such deaths, usually every 2h50m`.
pub(super) fn earlier_deaths(alike: &Alike) -> String {
    let deaths = counted(alike.count, "such death", "such deaths");
    match alike.interval_ms.map(ms) {
        Some(interval) if alike.count > 1 => format!("{deaths}, usually every {interval}"),
        Some(interval) => format!("{deaths}, {interval} before"),
        None => deaths,
    }
}

/// `down for 3.33 s`, or what is known of how long it was down.
pub(super) fn downtime(incident: &IncidentReport) -> String {
    match (incident.state, incident.down_ms) {
        (IncidentState::Closed, Some(down)) => format!("down for {}", ms(down)),
        (IncidentState::Closed, None) => "never down".to_owned(),
        (IncidentState::Open, Some(down)) => format!("still down after {}", ms(down)),
        (IncidentState::Open, None) => "still open".to_owned(),
    }
}

/// What an incident cost; empty if nothing.
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

/// The totals, one phrase each.
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

/// `GET /api/orders/{n}`.
pub(super) fn template(requests: &LostRequests) -> String {
    method_and_path(requests.method.as_deref(), requests.template.as_deref())
}

/// `GET /api/orders/17`.
pub(super) fn failed_request(request: &LostRequest) -> String {
    method_and_path(request.method.as_deref(), request.path.as_deref())
}

/// Method and path, as far as known.
pub(super) fn method_and_path(method: Option<&str>, path: Option<&str>) -> String {
    match (method, path) {
        (Some(method), Some(path)) => format!("{method} {path}"),
        (None, Some(path)) => path.to_owned(),
        (Some(method), None) => format!("{method}, path unknown"),
        (None, None) => "request without details".to_owned(),
    }
}

/// A status, or `no response`.
pub(super) fn status(status: Option<u16>) -> String {
    status.map_or_else(|| "no response".to_owned(), |status| status.to_string())
}

/// What an empty report says.
pub(super) fn nothing(report: &Report) -> &'static str {
    if report.from.is_none() {
        "There are no findings."
    } else {
        "Nothing died and nothing failed in this period."
    }
}

/// How long a service was down in all; a dash if it never was.
pub(super) fn total_downtime(service: &ServiceTotals) -> String {
    if service.down_ms > 0.0 {
        ms(service.down_ms)
    } else {
        "–".to_owned()
    }
}

/// `OOM, cgroup limit; crashed`.
pub(super) fn causes(service: &ServiceTotals) -> String {
    let causes: Vec<_> = service.causes.iter().copied().map(wording::cause).collect();
    causes.join("; ")
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
    fn ordinals_are_words_up_to_the_tenth() {
        for (nth, want) in [
            (1, "first"),
            (4, "fourth"),
            (10, "tenth"),
            (11, "11th"),
            (22, "22nd"),
            (103, "103rd"),
            (112, "112th"),
        ] {
            assert_eq!(ordinal(nth), want);
        }
    }
}
