//! Comparing version numbers.

/// The leading numbers of a version: `22.1.8-rc1` is `[22, 1, 8]`.
pub(super) fn numbers(version: &str) -> Vec<u32> {
    version
        .split(['.', '-', '+', '~'])
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(numbers("1.97.0-nightly"), [1, 97, 0]);
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("0.9.15") < numbers("0.13.0"));
        assert!(numbers("garbage").is_empty());
    }
}
