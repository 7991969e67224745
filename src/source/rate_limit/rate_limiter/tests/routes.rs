//! Routes that share a rate limiter, on paused time.

use super::*;

/// A route that polls again and again with this many pollers. Each poll is empty at once. The times at which polls began.
fn polling(rate_limiter: &Arc<RateLimiter>, pollers: usize) -> Arc<Mutex<Vec<Instant>>> {
    let (route, begun) = (RouteKey::unique(), Arc::<Mutex<Vec<_>>>::default());
    for _ in 0..pollers {
        let (rate_limiter, begun) = (Arc::clone(rate_limiter), Arc::clone(&begun));
        tokio::spawn(async move {
            loop {
                let permit = rate_limiter.acquire(Call::Poll(route)).await;
                begun.lock().push(Instant::now());
                sleep(SEC / 10).await;
                permit.done(Answer::Accepted);
            }
        });
    }
    begun
}

/// The longest time between two polls from `start` on.
fn longest_gap(begun: &Mutex<Vec<Instant>>, start: Instant) -> Duration {
    let times = begun.lock();
    let times = times.iter().copied().filter(|at| *at >= start);
    let times: Vec<_> = [start]
        .into_iter()
        .chain(times)
        .chain([Instant::now()])
        .collect();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// AWS throttles each heartbeat of one route, whatever its rate.
fn throttled_heartbeats(rate_limiter: &Arc<RateLimiter>, tasks: usize) {
    for _ in 0..tasks {
        let rate_limiter = Arc::clone(rate_limiter);
        tokio::spawn(async move {
            loop {
                let permit = rate_limiter.acquire(beat_in(SEC * 30)).await;
                sleep(SEC / 100).await;
                permit.done(Answer::Throttled);
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_heartbeats_of_one_route_stop_the_polls_of_no_other_for_more_than_three_seconds()
{
    let rate_limiter = Arc::new(RateLimiter::new());
    // A route with many pollers must not take the turns of the others.
    let busy = polling(&rate_limiter, 100);
    throttled_heartbeats(&rate_limiter, 300);
    let others: Vec<_> = (0..10).map(|_| polling(&rate_limiter, 2)).collect();
    sleep(SEC * 10).await;
    let start = Instant::now();
    sleep(MINUTE * 5).await;
    for route in others.iter().chain([&busy]) {
        let gap = longest_gap(route, start);
        assert!(gap <= SEC * 3 + SEC / 10, "{gap:?}");
        let polls = route.lock().iter().filter(|at| **at >= start).count();
        assert!(
            polls <= 101,
            "{polls} polls, though each brings more heartbeats"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_wait_for_other_results_do_not_stop_the_polls() {
    let rate_limiter = Arc::new(RateLimiter::new());
    for _ in 0..8_000 {
        let rate_limiter = Arc::clone(&rate_limiter);
        tokio::spawn(async move {
            let permit = rate_limiter.acquire(Call::Complete).await;
            sleep(SEC * 8).await;
            permit.done(Answer::Other);
        });
    }
    let polls = polling(&rate_limiter, 2);
    let start = Instant::now();
    sleep(MINUTE * 2).await;
    let gap = longest_gap(&polls, start);
    assert!(gap <= SEC * 3 + SEC / 10, "{gap:?}");
}

/// AWS lets no more than one poll of all routes begin in a second.
#[tokio::test(start_paused = true)]
async fn throttled_polls_of_all_routes_take_turns() {
    let rate_limiter = limited(&[poll()]).await;
    let service = Service::new(5.0);
    let mut polls = Vec::new();
    for pollers in [50, 1, 1] {
        let (route, begun) = (RouteKey::unique(), Arc::new(Mutex::new(0_u32)));
        for _ in 0..pollers {
            let (rate_limiter, service) = (Arc::clone(&rate_limiter), Arc::clone(&service));
            let begun = Arc::clone(&begun);
            tokio::spawn(async move {
                loop {
                    insist(&rate_limiter, &service, Call::Poll(route)).await;
                    *begun.lock() += 1;
                }
            });
        }
        polls.push(begun);
    }
    sleep(MINUTE * 5).await;
    // 1,500 polls at most, first come, first served: one in 52 for a poller.
    for (route, pollers) in polls.iter().zip([50, 1, 1]) {
        let begun = *route.lock();
        assert!(begun >= 15 * pollers, "{begun} polls of {pollers} pollers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_does_not_slow_results_below_ten_in_a_second() {
    // Heartbeats that are nearly late get room from results, but not below that.
    for (call, heartbeats) in [
        (Call::Complete, 0),
        (Call::Fail, 0),
        (Call::Cancel, 0),
        (Call::Complete, 50),
    ] {
        let rate_limiter = Arc::new(RateLimiter::new());
        throttled_heartbeats(&rate_limiter, heartbeats);
        for _ in 0..100 {
            rate_limiter.acquire(call).await.done(Answer::Throttled);
            sleep(SEC).await;
        }
        let start = Instant::now();
        for _ in 0..50 {
            rate_limiter.acquire(call).await.done(Answer::Other);
        }
        let took = start.elapsed();
        assert!(took <= SEC * 5 + SEC / 10, "50 results in {took:?}");
        assert!(took >= SEC * 4, "it is limited all the same: {took:?}");
    }
}
