//! Thousands of tasks on one rate limiter: none is lost to a heartbeat timeout that could have been met.

use super::*;
use tokio::time::timeout_at;

/// Ten minutes of heartbeats through one rate limiter. The service throttles at 50 calls a second.
struct Load {
    /// Numbers of tasks, each with their heartbeat timeout in seconds.
    tasks: &'static [(u32, u64)],
    /// The tasks begin evenly within this number of seconds.
    begin_within: u64,
    /// Maximum results in a second.
    results: u32,
    /// The rate of the results' own bucket; `None` if results share the heartbeats' bucket.
    results_limit: Option<f64>,
    /// Whether heartbeats are ordered by their arrival and not by their deadlines.
    fifo: bool,
}

const LOAD: Load = Load {
    tasks: &[(2_000, 60)],
    begin_within: 40,
    results: 0,
    results_limit: None,
    fifo: false,
};

/// The measurements.
#[derive(Debug, Default)]
struct Outcome {
    /// Number of tasks that AWS timed out.
    lost: u32,
    /// The longest time of a task without an accepted heartbeat, as a share of its timeout.
    longest: f64,
    /// Accepted results in a second.
    results: f64,
}

impl Load {
    async fn run(self) -> Outcome {
        let (rate_limiter, service) = (Arc::new(RateLimiter::new()), Service::new(50.0));
        let own = self.results_limit.map(Service::new);
        let (start, end) = (Instant::now(), Instant::now() + MINUTE * 10);
        let results: Vec<_> = (0..self.results)
            .map(|_| {
                let rate_limiter = Arc::clone(&rate_limiter);
                let service = Arc::clone(own.as_ref().unwrap_or(&service));
                tokio::spawn(async move { results(&rate_limiter, &service, end).await })
            })
            .collect();
        let mut tasks = Vec::new();
        for &(count, timeout) in self.tasks {
            tasks.extend((0..count).map(|seed| {
                let (rate_limiter, service) = (Arc::clone(&rate_limiter), Arc::clone(&service));
                let task = SimulatedTask {
                    begin: start + Duration::from_secs(self.begin_within) * seed / count,
                    end,
                    timeout: Duration::from_secs(timeout),
                    seed,
                    fifo: self.fifo,
                };
                tokio::spawn(async move { task.run(&rate_limiter, &service).await })
            }));
        }
        let mut outcome = Outcome::default();
        for task in tasks {
            let longest = task.await.expect("no panic");
            outcome.lost += u32::from(longest >= 1.0);
            outcome.longest = outcome.longest.max(longest);
        }
        for caller in results {
            outcome.results += f64::from(caller.await.expect("no panic")) / 600.0;
        }
        outcome
    }
}

/// Sends results until the end, at most one a second. Returns their number.
async fn results(rate_limiter: &RateLimiter, service: &Service, end: Instant) -> u32 {
    for accepted in 0.. {
        let next = Instant::now() + SEC;
        let result = insist(rate_limiter, service, Call::Complete);
        if timeout_at(end, result).await.is_err() {
            return accepted;
        }
        sleep_until(next).await;
    }
    unreachable!()
}

struct SimulatedTask {
    begin: Instant,
    end: Instant,
    timeout: Duration,
    seed: u32,
    fifo: bool,
}

impl SimulatedTask {
    /// Sends heartbeats until the end. Returns the longest time between two accepted ones, as a share of the timeout.
    async fn run(self, rate_limiter: &RateLimiter, service: &Service) -> f64 {
        sleep_until(self.begin).await;
        let (mut longest, mut alive) = (0.0_f64, self.begin);
        for n in 0.. {
            // Multiples of the golden ratio are spread evenly, and are the same in each run.
            let chance = (f64::from(self.seed * 31 + n) * 0.618_034).fract();
            sleep((self.timeout / 3).mul_f64(0.75 + chance / 4.0)).await;
            let beat = Call::Heartbeat(Due {
                deadline: (!self.fifo).then_some(alive + self.timeout),
                urgent_from: alive + self.timeout / 2,
            });
            let accepted = timeout_at(self.end, insist(rate_limiter, service, beat)).await;
            longest = longest.max(alive.elapsed().as_secs_f64() / self.timeout.as_secs_f64());
            if accepted.is_err() {
                break;
            }
            alive = Instant::now();
        }
        longest
    }
}

#[tokio::test(start_paused = true)]
async fn at_50_calls_a_second_none_of_2000_tasks_is_lost_to_a_heartbeat_timeout() {
    let spread = LOAD.run().await;
    assert_eq!(spread.lost, 0, "{spread:?}");
    let all_at_once = Load {
        begin_within: 0,
        ..LOAD
    };
    let all_at_once = all_at_once.run().await;
    assert_eq!(all_at_once.lost, 0, "{all_at_once:?}");
}

#[tokio::test(start_paused = true)]
async fn none_is_lost_either_if_results_use_their_share_of_the_50_calls() {
    let outcome = Load { results: 5, ..LOAD }.run().await;
    assert_eq!(outcome.lost, 0, "{outcome:?}");
    assert!(outcome.results > 4.5, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn throttled_results_with_their_own_bucket_delay_no_heartbeat() {
    for begin_within in [0, 40] {
        let load = Load {
            results: 200,
            results_limit: Some(10.0),
            begin_within,
            ..LOAD
        };
        let outcome = load.run().await;
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        assert!(outcome.results > 8.5, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_all_calls_are_throttled_results_get_what_heartbeats_do_not_need() {
    // Heartbeats need a call for each task in a minute: 17 and 23 of the 50 a second.
    for (tasks, least) in [(&[(1_000, 60)], 25.0), (&[(1_400, 60)], 15.0)] {
        let load = Load {
            results: 200,
            tasks,
            ..LOAD
        };
        let outcome = load.run().await;
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        assert!(outcome.results > least, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn short_timeouts_among_long_ones_are_met_unlike_with_first_come_first_served() {
    for fifo in [false, true] {
        let load = Load {
            tasks: &[(1_800, 60), (20, 20)],
            fifo,
            ..LOAD
        };
        let outcome = load.run().await;
        assert_eq!(outcome.lost > 0, fifo, "{outcome:?}");
    }
}
