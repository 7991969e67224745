//! The maximum of concurrent calls, on paused time.

use super::*;
use crate::source::rate_limit::grants::MAX_CONCURRENT_CALLS;
use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A service that answers after a while, and counts the calls under way.
#[derive(Default)]
struct SlowService {
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// The ids of the calls in the order in which they began.
    begun: Mutex<Vec<usize>>,
}

impl SlowService {
    async fn call(&self, id: usize, takes: Duration) {
        let open = self.open.fetch_add(1, Relaxed) + 1;
        self.most_open.fetch_max(open, Relaxed);
        self.begun.lock().push(id);
        sleep(takes).await;
        self.open.fetch_sub(1, Relaxed);
    }
}

struct Test {
    rate_limiter: Arc<RateLimiter>,
    service: Arc<SlowService>,
    takes: Duration,
}

impl Test {
    fn new(takes: Duration) -> Self {
        Self {
            rate_limiter: Arc::default(),
            service: Arc::default(),
            takes,
        }
    }

    /// Makes a call. The task returns how long it waited.
    fn spawn(&self, id: usize, call: Call, deadline: Option<Instant>) -> JoinHandle<Duration> {
        let (rate_limiter, service) = (Arc::clone(&self.rate_limiter), Arc::clone(&self.service));
        let takes = self.takes;
        let since = Instant::now();
        tokio::spawn(async move {
            let permit = rate_limiter.acquire_by(call, deadline).await;
            let waited = since.elapsed();
            service.call(id, takes).await;
            permit.done(Answer::Accepted);
            waited
        })
    }

    fn spawn_all(&self, ids: Range<usize>, call: Call) -> Vec<JoinHandle<Duration>> {
        ids.map(|id| self.spawn(id, call, call.due().and_then(|due| due.deadline)))
            .collect()
    }

    fn begun(&self) -> Vec<usize> {
        self.service.begun.lock().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_8000_results_makes_no_more_than_the_maximum_of_concurrent_calls() {
    let test = Test::new(SEC / 10);
    let mut calls = Vec::new();
    for (n, call) in [Call::Complete, Call::Fail, Call::Cancel, beat_in(MINUTE)]
        .into_iter()
        .enumerate()
    {
        calls.extend(test.spawn_all(n * 2_000..(n + 1) * 2_000, call));
    }
    let start = Instant::now();
    for call in calls {
        call.await.expect("no panic");
    }
    let most = test.service.most_open.load(Relaxed);
    assert_eq!(most, MAX_CONCURRENT_CALLS, "no more, and no fewer");
    let rounds = u32::try_from(8_000 / MAX_CONCURRENT_CALLS).expect("few") + 1;
    assert!(
        start.elapsed() <= SEC / 10 * rounds + SEC / 100,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn results_go_before_heartbeats_and_the_earliest_deadline_goes_first() {
    let test = Test::new(SEC);
    let now = Instant::now();
    let first = test.spawn_all(0..MAX_CONCURRENT_CALLS, Call::Complete);
    tokio::task::yield_now().await;
    let calls = [
        (1_005, beat_in(MINUTE), Some(now + MINUTE)),
        (1_006, beat_in(MINUTE * 2), Some(now + MINUTE * 2)),
        (1_003, Call::Complete, None),
        (1_002, Call::Fail, Some(now + MINUTE * 3)),
        (1_001, Call::Complete, Some(now + MINUTE * 2)),
        (1_004, Call::Cancel, None),
        (1_007, Call::History, None),
    ];
    let mut waiting = Vec::new();
    for (id, call, deadline) in calls {
        waiting.push(test.spawn(id, call, deadline));
        tokio::task::yield_now().await;
    }
    assert_eq!(test.begun().len(), MAX_CONCURRENT_CALLS);
    for call in first.into_iter().chain(waiting) {
        call.await.expect("no panic");
    }
    let order = test.begun().split_off(MAX_CONCURRENT_CALLS);
    assert_eq!(order, [1_001, 1_002, 1_003, 1_004, 1_005, 1_006, 1_007]);
}

/// AWS answers no result for eight seconds, and the backlog is long.
#[tokio::test(start_paused = true)]
async fn an_urgent_heartbeat_is_not_behind_a_backlog_of_slow_results() {
    let test = Test::new(SEC * 8);
    let results = test.spawn_all(0..8_000, Call::Complete);
    sleep(SEC * 9).await;
    let calm = test.spawn(
        10_000,
        beat_in(MINUTE * 10),
        Some(Instant::now() + MINUTE * 10),
    );
    let beats: Vec<_> = (0..50)
        .map(|n| {
            test.spawn(
                9_000 + n,
                beat_in(SEC * 20),
                Some(Instant::now() + SEC * 20),
            )
        })
        .collect();
    for beat in beats {
        let waited = beat.await.expect("no panic");
        assert!(waited < SEC * 20, "after its deadline: {waited:?}");
    }
    sleep(MINUTE).await;
    assert!(!calm.is_finished(), "it can wait");
    let most = test.service.most_open.load(Relaxed);
    assert_eq!(most, MAX_CONCURRENT_CALLS);
    results.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_make_room() {
    let test = Test::new(MINUTE);
    let stuck = test.spawn_all(0..MAX_CONCURRENT_CALLS, Call::Complete);
    tokio::task::yield_now().await;
    let waiting = test.spawn(1_000, Call::Complete, None);
    sleep(SEC).await;
    assert_eq!(test.begun().len(), MAX_CONCURRENT_CALLS);
    stuck[0].abort();
    sleep(SEC).await;
    assert_eq!(test.begun().len(), MAX_CONCURRENT_CALLS + 1);
    waiting.await.expect("no panic");
}

/// Polls have a bound of their own.
#[tokio::test(start_paused = true)]
async fn open_polls_do_not_count() {
    let test = Test::new(MINUTE);
    let polls = test.spawn_all(0..5_000, poll());
    tokio::task::yield_now().await;
    let result = test.spawn(9_000, Call::Complete, None);
    assert_eq!(result.await.expect("no panic"), Duration::ZERO);
    for poll in polls {
        assert_eq!(poll.await.expect("no panic"), Duration::ZERO);
    }
}
