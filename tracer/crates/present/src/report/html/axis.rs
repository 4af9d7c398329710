//! Chooses the gridlines of a time axis. The page's script does the same when the view changes.

use tracer_model::WallTime;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Distances between gridlines, ns.
const STEPS: [i64; 31] = [
    MS / 1000,
    MS / 100,
    MS / 10,
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    500 * MS,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
    7 * 24 * HOUR,
];

/// The `strftime` format of the labels of gridlines that are `step` apart.
fn format(step: i64) -> &'static str {
    match step {
        ..MS => "%H:%M:%S%.6f",
        MS..SECOND => "%H:%M:%S%.3f",
        SECOND..MINUTE => "%H:%M:%S",
        MINUTE..=12_960_000_000_000 => "%H:%M",
        _ => "%m-%d %H:%M",
    }
}

/// At most `most` gridlines between `from` and `to`, and the format of their labels.
/// `offset_seconds` is the offset of the time zone.
pub(super) fn gridlines(
    from: WallTime,
    to: WallTime,
    most: i64,
    offset_seconds: i32,
) -> (Vec<WallTime>, &'static str) {
    let span = to.0.saturating_sub(from.0).max(1);
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS
        .into_iter()
        .find(|step| span / step < most)
        .unwrap_or_else(|| longest.max(span / most + 1));
    let offset = i64::from(offset_seconds) * SECOND;
    // Full minutes and hours are those of the zone.
    let local = from.0.saturating_add(offset);
    let first = local
        .div_euclid(step)
        .saturating_add(i64::from(local.rem_euclid(step) != 0))
        .saturating_mul(step)
        .saturating_sub(offset);
    let mut lines = Vec::new();
    let mut at = first;
    while at <= to.0 {
        lines.push(WallTime(at));
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    (lines, format(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gridlines_are_round_and_not_too_many() {
        let start = 1_795_357_800_123_456_789;
        for span in [
            1,
            MS,
            700 * MS,
            3 * SECOND,
            90 * MINUTE,
            400 * 24 * HOUR,
            i64::MAX - start,
        ] {
            let (all, _) = gridlines(WallTime(start), WallTime(start + span), 8, 0);
            assert!(all.len() <= 9, "{span}: {}", all.len());
            assert!(all.iter().all(|at| at.0 >= start && at.0 <= start + span));
        }
        let (all, format) = gridlines(WallTime(start), WallTime(start + 3 * SECOND), 8, 0);
        assert_eq!(all[0].to_string(), "2026-11-22T14:30:00.500000000Z");
        assert_eq!(format, "%H:%M:%S%.3f");
        // In a zone 5:30 east, full hours are at half past.
        let (all, _) = gridlines(WallTime(start), WallTime(start + 5 * HOUR), 8, 19_800);
        assert_eq!(
            all[0].to_string(),
            "2026-11-22T14:30:00.000000000Z".replace("14:30", "15:30")
        );
    }
}
