//! Quantiles.

/// The value below which this many hundredths of the values lie.
pub fn percentile(values: &[f64], hundredths: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let index = (last * hundredths + 50) / 100;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_values() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        for (hundredths, want) in [(0, 1.0), (25, 2.0), (50, 3.0), (75, 4.0), (100, 5.0)] {
            let got = percentile(&values, hundredths);
            assert!((got - want).abs() < f64::EPSILON, "{hundredths}: {got}");
        }
        assert!(median(&[]).is_nan());
    }
}
