//! Medians and ratios, as the table in docs/benchmarks.md.

use std::fmt::Write as _;

/// One load.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) runs: Vec<Run>,
}

/// One round, in requests per second.
pub(super) struct Run {
    pub(super) without: f64,
    pub(super) with: f64,
    /// Failed requests that were not told, or told too often.
    pub(super) missed: u64,
}

pub(super) fn render(rows: &[Row], machine: &str, rounds: usize, seconds: u64) -> String {
    let mut text = format!(
        "# Benchmarks

What the tracer costs the work that it watches. `cargo xtask bench --write` measures, and writes this page.

Machine: {machine}. Each load runs without and with `tracer watch` in turn, {rounds} times {seconds} s each; the numbers
are medians, the ratio is the median of the rounds' ratios, in brackets its quartiles. *Missed* are failed
requests that were neither reported nor counted, over all rounds.

| load | without | with the tracer | ratio | missed |
|---|---:|---:|---:|---:|
"
    );
    for row in rows {
        let of = |pick: fn(&Run) -> f64| row.runs.iter().map(pick).collect::<Vec<_>>();
        let ratios = of(|run| run.with / run.without);
        let missed: u64 = row.runs.iter().map(|run| run.missed).sum();
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.3} ({:.3}–{:.3}) | {missed} |",
            row.what,
            quantile(&of(|run| run.without), 2),
            quantile(&of(|run| run.with), 2),
            quantile(&ratios, 2),
            quantile(&ratios, 1),
            quantile(&ratios, 3),
        );
    }
    text
}

/// The quarter with this number: 2 is the median.
fn quantile(values: &[f64], quarter: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last * quarter + 2) / 4)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_taken_from_the_sorted_values() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        for (quarter, want) in [(1, 2.0), (2, 3.0), (3, 4.0)] {
            let got = quantile(&values, quarter);
            assert!((got - want).abs() < f64::EPSILON, "{quarter}: {got}");
        }
    }
}
