//! How numbers, sizes, amounts and ages are written for people. GB are 2^30 bytes, as everywhere here.

use chrono::{DateTime, Utc};
use ecr_cleanup_core::sizes::Freed;

/// A number with separators: `12,345`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with its noun: `1 image`, `12,345 images`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size: `567.1 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a tenth is shown")]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be written as 1024.0 belongs to the next unit.
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
}

/// An amount: `$12,345.60`.
#[must_use]
pub fn usd(amount: f64) -> String {
    // A negative amount can't be: prices are not.
    let text = format!("{:.2}", amount.max(0.0));
    let (dollars, cents) = text.split_once('.').unwrap_or((&text, "00"));
    format!("${}.{cents}", dollars.parse().map_or_else(|_| dollars.to_owned(), count))
}

/// The bytes that are freed: `412.0 GiB`, or `up to 567.1 GiB` where layers that images share may be counted twice.
#[must_use]
pub fn freed(freed: Freed) -> String {
    match freed {
        Freed::Exactly(size) => bytes(size),
        Freed::AtMost(0) => bytes(0),
        Freed::AtMost(size) => format!("up to {}", bytes(size)),
    }
}

/// The text with its digests shortened to twelve digits, as docker shows them.
#[must_use]
pub fn short_digests(text: &str) -> String {
    /// `sha256:` and twelve digits.
    const SHORT: usize = 19;
    let word = |word: &str| match word.get(..SHORT) {
        Some(short) if word.starts_with("sha256:") => short.to_owned(),
        Some(_) | None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// How long ago something was, in whole days: `1 day`, `1,398 days`.
#[must_use]
pub fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let days = u64::try_from((now - at).num_days()).unwrap_or_default();
    counted(days, "day", "days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts = [0, 7, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(texts, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(
            (counted(1, "image", "images"), counted(0, "image", "images")),
            ("1 image".into(), "0 images".into())
        );
    }

    #[test]
    fn sizes_take_the_unit_that_fits() {
        let texts = [0, 1_023, 1_024, 1_048_575, 1 << 20, (1 << 30) * 3 / 2, u64::MAX].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "1.5 GiB", "16384.0 PiB"]);
    }

    #[test]
    fn digests_are_cut_where_they_stand() {
        let text = format!("named by the stale index sha256:{} (é)", "0".repeat(64));
        assert_eq!(short_digests(&text), "named by the stale index sha256:000000000000 (é)");
        assert_eq!(short_digests("sha256:1"), "sha256:1");
    }

    #[test]
    fn amounts_have_cents() {
        let texts = [0.0, 0.1, 258.1, 12_345.678].map(usd);
        assert_eq!(texts, ["$0.00", "$0.10", "$258.10", "$12,345.68"]);
    }

    #[test]
    fn only_an_upper_bound_says_up_to() {
        let texts = [Freed::Exactly(1 << 30), Freed::AtMost(1 << 30), Freed::AtMost(0)].map(freed);
        assert_eq!(texts, ["1.0 GiB", "up to 1.0 GiB", "0 B"]);
    }
}
