//! Numbers and times in words for people, on the page and in a terminal.

use aws_smithy_types::{DateTime, date_time::Format};

/// A number with commas, or from a million on with three digits: `1,234`, `12.3 M`.
pub(crate) fn count(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [
        ("T", 1_000_000_000_000),
        ("G", 1_000_000_000),
        ("M", 1_000_000),
    ];
    for (unit, size) in UNITS {
        if number >= size {
            let whole = number / size;
            let thousandths = number % size * 1_000 / size;
            return match whole {
                0..10 => format!("{whole}.{:02} {unit}", thousandths / 10),
                10..100 => format!("{whole}.{} {unit}", thousandths / 100),
                _ => format!("{whole} {unit}"),
            };
        }
    }
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    }
}

/// A time in seconds in its largest units: `350 ms`, `1.2 s`, `37 s`, `2 h 5 min`.
pub(crate) fn span(secs: f64) -> String {
    if secs < 0.9995 {
        return format!("{:.0} ms", secs.max(0.0) * 1_000.0);
    }
    if secs < 9.95 {
        return format!("{secs:.1} s");
    }
    // It is not negative; more than a u64 has becomes the largest one.
    age(secs.round() as u64)
}

/// A time in whole seconds in its two largest units: `0 s`, `37 s`, `2 h 5 min`.
pub(crate) fn age(secs: u64) -> String {
    const UNITS: [(&str, u64, u64); 4] = [
        ("d", 86_400, u64::MAX),
        ("h", 3_600, 24),
        ("min", 60, 60),
        ("s", 1, 60),
    ];
    let parts = UNITS
        .iter()
        .map(|(name, size, most)| (name, secs / size % most));
    let mut parts = parts
        .skip_while(|(_, number)| *number == 0)
        .take(2)
        .filter(|(_, number)| *number > 0);
    let first = parts.next().map_or_else(
        || "0 s".to_owned(),
        |(name, number)| format!("{number} {name}"),
    );
    match parts.next() {
        Some((name, number)) => format!("{first} {number} {name}"),
        None => first,
    }
}

/// A time since 1970 as `2026-11-30 13:03:05`, in UTC.
pub(crate) fn moment(since_1970: f64) -> String {
    let rfc_3339 = DateTime::from_secs(since_1970 as i64).fmt(Format::DateTime);
    rfc_3339.map_or_else(
        |_| String::new(),
        |text| text.replace('T', " ").replace('Z', ""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(1_000, "1,000")]
    #[case(65_007, "65,007")]
    #[case(999_999, "999,999")]
    #[case(1_000_000, "1.00 M")]
    #[case(12_345_678, "12.3 M")]
    #[case(123_456_789, "123 M")]
    #[case(4_567_000_000, "4.56 G")]
    #[case(u64::MAX, "18446744 T")]
    fn a_number_has_commas_and_then_three_digits(#[case] number: u64, #[case] words: &str) {
        assert_eq!(count(number), words);
    }

    #[rstest]
    #[case(0.0, "0 ms")]
    #[case(-1.0, "0 ms")]
    #[case(0.35, "350 ms")]
    #[case(0.9996, "1.0 s")]
    #[case(1.25, "1.2 s")]
    #[case(9.96, "10 s")]
    #[case(59.6, "1 min")]
    #[case(61.0, "1 min 1 s")]
    #[case(7_537.0, "2 h 5 min")]
    #[case(400.0 * 86_400.0, "400 d")]
    fn a_time_has_its_largest_units(#[case] secs: f64, #[case] words: &str) {
        assert_eq!(span(secs), words);
    }

    #[test]
    fn an_age_has_no_parts_of_a_second() {
        assert_eq!([0, 1, 185].map(age), ["0 s", "1 s", "3 min 5 s"]);
    }

    #[test]
    fn a_moment_is_a_date_and_a_time() {
        assert_eq!(moment(1_796_043_785.9), "2026-11-30 13:03:05");
    }
}
