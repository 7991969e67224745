//! The row about this machine's clock. AWS takes no call that was signed more than five minutes ago, or later than now.

use crate::util::{Mark, Row};
use std::time::Duration;

/// Difference from which on AWS refuses calls.
const REFUSED: Duration = Duration::from_secs(300);

/// Difference up to which a clock is right: answers take time, and tell whole seconds.
const RIGHT: Duration = Duration::from_secs(30);

/// The row for AWS's clock less this machine's, in seconds.
pub(super) fn row(difference: i64) -> Row {
    let size = Duration::from_secs(difference.unsigned_abs());
    let side = if difference > 0 { "behind" } else { "ahead of" };
    let words = format!("{} s {side} AWS's", size.as_secs());
    let advice = "; set the clock, or let the system do it (NTP)";
    let (mark, words) = match size {
        size if size <= RIGHT => (Mark::Ok, format!("within {} s of AWS's", RIGHT.as_secs())),
        size if size < REFUSED => (Mark::Note, words + advice),
        _ => (
            Mark::Fail,
            words + ", and AWS refuses calls from 5 minutes on" + advice,
        ),
    };
    Row::new("clock", mark, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_aws_refuses_fails_and_one_that_it_takes_is_noted() {
        for (difference, mark, words) in [
            (0, Mark::Ok, "within 30 s of AWS's"),
            (-30, Mark::Ok, "within 30 s of AWS's"),
            (31, Mark::Note, "31 s behind AWS's; set"),
            (-299, Mark::Note, "299 s ahead of AWS's; set"),
            (300, Mark::Fail, "300 s behind AWS's, and AWS refuses"),
            (-4_000, Mark::Fail, "4000 s ahead of AWS's, and AWS refuses"),
        ] {
            let row = row(difference);
            assert_eq!(row.mark, mark, "{difference}");
            assert!(row.words.starts_with(words), "{}", row.words);
        }
    }
}
