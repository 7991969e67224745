//! The rate limiter against a service with a token bucket, on paused time.

mod concurrency;
mod load;
mod routes;

use super::*;
use crate::source::rate_limit::call::{Due, RouteKey};
use tokio::{
    task::JoinHandle,
    time::{Duration, sleep},
};

const SEC: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A token bucket behind a network. It refills at `rate` calls a second, and holds as many.
struct Service {
    rate: f64,
    state: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
    accepted: u32,
    throttled: u32,
}

impl Service {
    fn new(rate: f64) -> Arc<Self> {
        let state = Mutex::new(Bucket {
            tokens: rate,
            filled_at: Instant::now(),
            accepted: 0,
            throttled: 0,
        });
        Arc::new(Self { rate, state })
    }

    async fn call(&self) -> Answer {
        sleep(Duration::from_millis(8)).await;
        let mut bucket = self.state.lock();
        let now = Instant::now();
        let fresh = (now - bucket.filled_at).as_secs_f64() * self.rate;
        bucket.tokens = (bucket.tokens + fresh).min(self.rate);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            bucket.accepted += 1;
            Answer::Accepted
        } else {
            bucket.throttled += 1;
            Answer::Throttled
        }
    }

    /// The numbers of accepted and throttled calls since the last question.
    fn counts(&self) -> (u32, u32) {
        let mut bucket = self.state.lock();
        let counts = (bucket.accepted, bucket.throttled);
        (bucket.accepted, bucket.throttled) = (0, 0);
        counts
    }
}

fn beat_in(left: Duration) -> Call {
    let now = Instant::now();
    Call::Heartbeat(Due {
        deadline: Some(now + left),
        urgent_from: now + left / 2,
    })
}

/// A poll of one route, always the same.
fn poll() -> Call {
    Call::Poll(RouteKey::NONE)
}

/// A rate limiter whose `calls` were throttled once and are limited to one a second, results to ten.
async fn limited(calls: &[Call]) -> Arc<RateLimiter> {
    let rate_limiter = Arc::new(RateLimiter::new());
    for call in calls {
        rate_limiter.acquire(*call).await.done(Answer::Throttled);
    }
    rate_limiter
}

/// Puts `call` into its queue. The task returns how long it waited.
async fn waiting(rate_limiter: &Arc<RateLimiter>, call: Call) -> JoinHandle<Duration> {
    let rate_limiter = Arc::clone(rate_limiter);
    let since = Instant::now();
    let caller = tokio::spawn(async move {
        // A dropped permit does not change the pace.
        drop(rate_limiter.acquire(call).await);
        since.elapsed()
    });
    tokio::task::yield_now().await;
    caller
}

/// Repeats the call until it is accepted.
async fn insist(rate_limiter: &RateLimiter, service: &Service, call: Call) {
    loop {
        let permit = rate_limiter.acquire(call).await;
        let answer = service.call().await;
        permit.done(answer);
        if answer == Answer::Accepted {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_while_aws_does_not_throttle() {
    let (rate_limiter, start) = (RateLimiter::new(), Instant::now());
    for _ in 0..10_000 {
        for call in [
            Call::Complete,
            Call::Fail,
            Call::Cancel,
            beat_in(SEC),
            poll(),
        ] {
            rate_limiter.acquire(call).await.done(Answer::Accepted);
        }
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_pace_finds_the_rate_of_the_service() {
    // Results are never slower than ten a second.
    let call = |rate| match rate < 10.0 {
        true => beat_in(MINUTE),
        false => Call::Complete,
    };
    for rate in [3.0, 50.0, 160.0, 500.0] {
        let (rate_limiter, service) = (Arc::new(RateLimiter::new()), Service::new(rate));
        for _ in 0..1_000 {
            let (rate_limiter, service) = (Arc::clone(&rate_limiter), Arc::clone(&service));
            tokio::spawn(async move {
                loop {
                    insist(&rate_limiter, &service, call(rate)).await;
                }
            });
        }
        sleep(SEC * 10).await;
        service.counts();
        sleep(MINUTE).await;
        let (accepted, throttled) = service.counts();
        let used = f64::from(accepted) / (rate * 60.0);
        let share = f64::from(throttled) / f64::from(accepted + throttled);
        assert!(
            used >= 0.85,
            "at {rate} calls a second only {used} are used"
        );
        assert!(
            share < 0.15,
            "at {rate} calls a second {share} are throttled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_overtakes_500_heartbeats() {
    let (rate_limiter, service) = (Arc::new(RateLimiter::new()), Service::new(50.0));
    for _ in 0..500 {
        let (rate_limiter, service) = (Arc::clone(&rate_limiter), Arc::clone(&service));
        tokio::spawn(async move {
            loop {
                insist(&rate_limiter, &service, beat_in(MINUTE)).await;
            }
        });
    }
    sleep(SEC * 10).await;
    for _ in 0..100 {
        let asked = Instant::now();
        insist(&rate_limiter, &service, Call::Complete).await;
        assert!(asked.elapsed() < SEC * 2, "{:?}", asked.elapsed());
        sleep(SEC).await;
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_wait_for_results_until_they_are_urgent() {
    for (left, goes_after) in [(MINUTE, 6), (SEC * 8, 4)] {
        let rate_limiter = limited(&[Call::Complete, beat_in(MINUTE)]).await;
        for _ in 0..60 {
            waiting(&rate_limiter, Call::Complete).await;
        }
        let waited = waiting(&rate_limiter, beat_in(left))
            .await
            .await
            .expect("no panic");
        assert_eq!(waited.as_secs(), goes_after, "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_ordered_by_deadline_and_those_without_one_go_last() {
    let rate_limiter = limited(&[beat_in(MINUTE)]).await;
    let none = Call::Heartbeat(Due {
        deadline: None,
        urgent_from: Instant::now(),
    });
    let mut beats = Vec::new();
    for (beat, second) in [
        (none, 4),
        (beat_in(SEC * 90), 3),
        (beat_in(SEC * 30), 1),
        (beat_in(MINUTE), 2),
    ] {
        beats.push((waiting(&rate_limiter, beat).await, second));
    }
    for (beat, second) in beats {
        assert_eq!(beat.await.expect("no panic").as_secs(), second);
    }
}

#[tokio::test(start_paused = true)]
async fn polls_wait_for_throttled_results_and_go_slowly_while_heartbeats_wait() {
    let calm = Call::Heartbeat(Due {
        deadline: None,
        urgent_from: Instant::now() + MINUTE * 60,
    });
    let urgent = beat_in(Duration::ZERO);
    // Urgent heartbeats slow the polls down and do not stop them.
    for (throttled, polls_in_10_secs) in [(Call::Complete, 0), (urgent, 3), (calm, 10)] {
        let rate_limiter = limited(&[throttled]).await;
        for _ in 0..120 {
            waiting(&rate_limiter, throttled).await;
        }
        let mut polls = Vec::new();
        for _ in 0..20 {
            polls.push(waiting(&rate_limiter, poll()).await);
        }
        sleep(SEC * 10 + SEC / 2).await;
        let begun = polls.iter().filter(|poll| poll.is_finished()).count();
        assert_eq!(begun, polls_in_10_secs, "{throttled:?}");
        for poll in polls {
            poll.await.expect("no panic");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_frees_its_place() {
    let rate_limiter = limited(&[Call::Complete]).await;
    let gives_up = waiting(&rate_limiter, Call::Complete).await;
    let stays = waiting(&rate_limiter, Call::Complete).await;
    let polled = waiting(&rate_limiter, poll()).await;
    gives_up.abort();
    let tenth = Duration::from_millis(100)..Duration::from_millis(110);
    let waited = stays.await.expect("no panic");
    assert!(
        tenth.contains(&waited),
        "the permit of the one before: {waited:?}"
    );
    assert!(tenth.contains(&polled.await.expect("no panic")));
    let gives_up = waiting(&rate_limiter, Call::Complete).await;
    let polled = waiting(&rate_limiter, poll()).await;
    gives_up.abort();
    assert!(polled.await.expect("no panic") < Duration::from_millis(5));
    assert!(
        rate_limiter
            .grants()
            .operations
            .iter()
            .all(|operation| operation.is_empty())
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_no_caller_waits_for_is_dropped() {
    let rate_limiter = limited(&[Call::Fail]).await;
    sleep(SEC * 31).await;
    let start = Instant::now();
    for _ in 0..100 {
        rate_limiter
            .acquire(Call::Fail)
            .await
            .done(Answer::Accepted);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}
