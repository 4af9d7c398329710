//! Sizes and durations in words: `2.0 GiB`, `1.98 GiB`, `151 ms`, `3.33 s`, `3m12s`.

use std::time::Duration;

/// A size in binary units: three significant digits, at least one decimal, trailing zeros cut.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be rounded up to 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let mut digits = if value < 9.995 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    };
    if digits.len() > 3 && digits.ends_with('0') && digits.as_bytes()[digits.len() - 3] == b'.' {
        digits.pop();
    }
    format!("{digits} {}", UNITS[unit])
}

/// A duration, coarser the longer it is: `0.42 ms`, `151 ms`, `3.33 s`, `3m12s`, `5h03m`, `2d04h`.
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let ms = (micros + 500) / 1000;
    // Rounds to the shown digits before it chooses the unit, so that 59.996 s is one minute.
    let hundredths = (micros + 5_000) / 10_000;
    let secs = duration.as_secs();
    if micros < 9_995 {
        let rounded = (micros + 5) / 10;
        format!("{}.{:02} ms", rounded / 100, rounded % 100)
    } else if ms < 1000 {
        format!("{ms} ms")
    } else if hundredths < 1000 {
        format!("{}.{:02} s", hundredths / 100, hundredths % 100)
    } else if hundredths < 6000 {
        let tenths = hundredths / 10;
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if secs < 3600 {
        let secs = secs.max(60);
        format!("{}m{:02}s", secs / 60, secs % 60)
    } else if secs < 86_400 {
        format!("{}h{:02}m", secs / 3600, secs / 60 % 60)
    } else {
        format!("{}d{:02}h", secs / 86_400, secs / 3600 % 24)
    }
}

/// Milliseconds, as in findings, with microseconds as decimals.
pub fn millis(duration: Duration) -> f64 {
    // Whole microseconds up to 2^53 are exact; longer is centuries.
    #[expect(clippy::cast_precision_loss, reason = "exact for centuries")]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (size, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (2 << 30, "2.0 GiB"),
            (2_126_008_811, "1.98 GiB"),
            (64 << 20, "64.0 MiB"),
            (512 << 20, "512.0 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), want, "{size}");
        }
    }

    #[test]
    fn durations_are_as_long_as_needed() {
        for (micros, want) in [
            (0, "0.00 ms"),
            (17, "0.02 ms"),
            (8_000, "8.00 ms"),
            (9_996, "10 ms"),
            (151_200, "151 ms"),
            (999_600, "1.00 s"),
            (3_330_000, "3.33 s"),
            (12_340_000, "12.3 s"),
            (59_996_000, "1m00s"),
            (192_000_000, "3m12s"),
            (18_180_000_000, "5h03m"),
            (187_200_000_000, "2d04h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), want, "{micros}");
        }
    }

    #[test]
    fn milliseconds_keep_microseconds() {
        assert!((millis(Duration::from_nanos(3_330_123_456)) - 3330.123).abs() < 1e-9);
    }
}
