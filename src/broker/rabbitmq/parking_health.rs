//! Whether replies can be parked at present: what the last attempts have shown. Pure.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Time for which a failure counts after it. A reply that waits to be parked is tried again before that.
const PROBLEM_TTL: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ParkingHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of attempts that have not ended. An attempt at a queue without a leader takes as long as its timeouts allow.
    under_way: usize,
    /// Why a reply was not parked last, and when; `None` if the last one was parked.
    problem: Option<(Instant, String)>,
}

/// An attempt to park a reply. It ends when this is dropped.
pub(super) struct Attempt<'a>(&'a ParkingHealth);

impl ParkingHealth {
    /// An attempt begins.
    pub(super) fn begin(&self) -> Attempt<'_> {
        self.0.lock().under_way += 1;
        Attempt(self)
    }

    /// Why replies can't be parked; `None` if nothing is known to be wrong. While an attempt is under way, the last failure counts.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.0.lock();
        let (at, why) = state.problem.as_ref()?;
        let counts = state.under_way > 0 || at.elapsed() < PROBLEM_TTL;
        counts.then(|| why.clone())
    }
}

impl Attempt<'_> {
    /// The attempt has ended; `None` if the reply is parked.
    pub(super) fn ended(self, problem: Option<String>) {
        self.0.0.lock().problem = problem.map(|why| (Instant::now(), why));
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.0.lock().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    /// As at a queue without a leader: each attempt ends after its timeout, and the next begins after the longest back-off.
    #[tokio::test(start_paused = true)]
    async fn a_failure_counts_until_an_attempt_succeeds_or_nobody_tries_any_more() {
        let health = ParkingHealth::default();
        let first = health.begin();
        assert_eq!(health.problem(), None);
        first.ended(Some("silent".to_owned()));
        let still =
            |after: &str| assert_eq!(health.problem().as_deref(), Some("silent"), "{after}");
        for round in 0..3 {
            for second in 0..10 {
                still(&format!("{second} s of the back-off of round {round}"));
                advance(SECOND).await;
            }
            let attempt = health.begin();
            for second in 0..70 {
                still(&format!("{second} s of the attempt of round {round}"));
                advance(SECOND).await;
            }
            attempt.ended(Some("silent".to_owned()));
        }
        let attempt = health.begin();
        attempt.ended(None);
        assert_eq!(health.problem(), None);
        health.begin().ended(Some("silent".to_owned()));
        advance(29 * SECOND).await;
        still("29 s without an attempt");
        drop(health.begin());
        still("an attempt that was given up");
        advance(SECOND).await;
        assert_eq!(health.problem(), None, "nobody tries any more");
    }
}
