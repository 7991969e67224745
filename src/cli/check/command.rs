//! The command: one round of checks, or rounds until all pass.

use super::{report::Report, rows};
use crate::{config::Config, util::Backoff};
use std::{
    io::{self, Write},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout_at};

/// Time before the second round; each further one is twice as long, within [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Maximum time between two rounds.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Time that the last round has after the deadline.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// How to check, and what to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to reach what the configuration names.
    pub online: bool,
    /// Whether to print JSON.
    pub json: bool,
    /// Whether a note fails.
    pub strict: bool,
    /// For how long to try again.
    pub wait: Option<Duration>,
}

/// Checks, and prints the table. Without `wait`, each row is printed as soon as it is known; otherwise those of the last round that
/// ended. True if all checks passed.
///
/// # Errors
///
/// If standard output can't be written.
pub async fn check(config: &Config, options: Options) -> anyhow::Result<bool> {
    let Options {
        online,
        json,
        strict,
        wait,
    } = options;
    let first = Report::new(!json && wait.is_none());
    let round = async |report: &mut Report| rows::add_all(config, online, report).await;
    let report = rounds(first, strict, wait.unwrap_or_default(), round).await?;
    report.print(json, strict)?;
    Ok(report.left(strict).is_empty())
}

/// Makes rounds until one passes or the time is over, and returns the last one that ended. The last round begins at the deadline.
async fn rounds(
    first: Report,
    strict: bool,
    wait: Duration,
    mut round: impl AsyncFnMut(&mut Report) -> io::Result<()>,
) -> io::Result<Report> {
    let deadline = Instant::now() + wait;
    let mut backoff = Backoff::new(FIRST_PAUSE, MAX_PAUSE);
    let mut report = first;
    // The first round has no deadline, because there must be something to print.
    round(&mut report).await?;
    loop {
        let left = report.left(strict);
        let rest = deadline.saturating_duration_since(Instant::now());
        if left.is_empty() || rest.is_zero() {
            return Ok(report);
        }
        let pause = backoff.next_wait().min(rest);
        tell(&left, pause, rest);
        sleep(pause).await;
        let mut next = Report::new(false);
        match timeout_at(deadline + LAST_ROUND, round(&mut next)).await {
            Ok(ended) => ended?,
            Err(_) => return Ok(report),
        }
        report = next;
    }
}

/// Writes to stderr what is waited for.
fn tell(left: &[&str], pause: Duration, rest: Duration) {
    let line = format!(
        "activity-bridge: not yet: {}; the next round is in {:.1} s, {} s are left\n",
        left.join(", "),
        pause.as_secs_f64(),
        rest.as_secs()
    );
    // The exit code tells the result, whether or not somebody can read this.
    drop(io::stderr().write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::{Mark, Row};

    fn add(report: &mut Report, what: &str) -> io::Result<()> {
        report.add("docs/a.md", Row::new(what, Mark::Fail, ""))
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_round_begins_at_the_deadline_and_no_pause_is_longer_than_the_longest() {
        for secs in [1, 2, 100] {
            let wait = Duration::from_secs(secs);
            let begin = Instant::now();
            let mut began = Vec::new();
            let round = async |report: &mut Report| {
                began.push(begin.elapsed());
                add(report, "a")
            };
            let report = rounds(Report::new(false), false, wait, round).await;
            assert_eq!(report.expect("not printed").left(false), ["a"]);
            assert!(began.len() >= 2, "{began:?}");
            let late = began[began.len() - 1].checked_sub(wait);
            let in_time = late.is_some_and(|late| late < Duration::from_millis(10));
            assert!(in_time, "{wait:?}: {began:?}");
            let longest = MAX_PAUSE + Duration::from_millis(10);
            let pauses = began.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(pauses.max() <= Some(longest), "{began:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_wait_there_is_one_round() {
        let mut began = 0;
        let round = async |report: &mut Report| {
            began += 1;
            add(report, "a")
        };
        let report = rounds(Report::new(false), false, Duration::ZERO, round).await;
        assert_eq!(report.expect("not printed").left(false), ["a"]);
        assert_eq!(began, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_round_that_takes_too_long_is_given_up_and_the_one_before_counts() {
        let second = Duration::from_secs(1);
        for (takes, counts) in [(LAST_ROUND - second, "2"), (LAST_ROUND + second, "1")] {
            let mut number = 0;
            let round = async |report: &mut Report| {
                number += 1;
                if number > 1 {
                    sleep(takes).await;
                }
                add(report, &number.to_string())
            };
            let report = rounds(Report::new(false), false, second, round).await;
            assert_eq!(report.expect("not printed").left(false), [counts]);
        }
    }
}
