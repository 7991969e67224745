//! Many tasks at once: heartbeats that are evenly spread, heartbeats under a throttle, and processes that are killed.

mod kills;
mod three;

use crate::harness::{Answer, DOMAIN, Inbox, Route, TEST_TIMEOUT, World, unix_ms};
use activity_sim::{Schedule, Summary, Throttle, Timeouts};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const HEARTBEAT: &str = "RecordActivityTaskHeartbeat";

/// So many tasks, all polled and waiting in the queue.
async fn in_flight(world: &World, count: u32, heartbeat: Duration) {
    let timeouts = Timeouts {
        heartbeat: Some(heartbeat),
        ..Timeouts::default()
    };
    world.sim.schedule(Schedule {
        count,
        timeouts,
        ..Schedule::new(DOMAIN, "payments")
    });
    let all = |summary: &Summary| summary.polled == u64::from(count);
    world.until("all polled", all).await;
}

fn route(count: u32, timeout: Duration) -> Route {
    Route::new("payments").with(&format!(
        "max_in_flight = {count}\npoll_without_consumers = true\npollers = {{ max = 40 }}\n\
         heartbeat = {{ timeout_secs = {} }}",
        timeout.as_secs()
    ))
}

#[tokio::test]
async fn ten_thousand_tasks_in_flight_are_kept_alive_by_heartbeats_that_are_evenly_spread() {
    let world = World::new().await;
    let timeout = Duration::from_secs(30);
    let _bridge = world.bridge(&[route(10_000, timeout)]).await;
    in_flight(&world, 10_000, timeout).await;
    // Long enough for each to have timed out twice.
    let per_second = 10_000.0 / 10.0;
    let enough = |summary: &Summary| {
        summary.timed_out > 0 || summary.ok(HEARTBEAT) as f64 >= 65.0 * per_second
    };
    let summary = world
        .sim
        .wait_until(TEST_TIMEOUT, enough)
        .await
        .expect("in time");
    assert_eq!((summary.timed_out, summary.open), (0, 10_000));

    let rates = world.sim.rates(HEARTBEAT).per_second;
    // From the first whole second with heartbeats to the last.
    let from = rates.iter().position(|n| *n > 0).expect("heartbeats") + 1;
    let whole = &rates[from..rates.len() - 1];
    let mean = whole.iter().sum::<u64>() as f64 / whole.len() as f64;
    let busiest = *whole.iter().max().expect("seconds");
    println!(
        "{} s, mean {mean:.0}/s, busiest second {busiest}, {whole:?}",
        whole.len()
    );
    // Where the machine stood still, what was due is made up for.
    let missed = |n: &u64| (mean - *n as f64).max(0.0);
    for (second, n) in whole.iter().enumerate() {
        let before = &whole[second.saturating_sub(3)..second];
        let most = 2.0 * mean + before.iter().map(missed).sum::<f64>();
        assert!(
            (*n as f64) < most,
            "{n} in a second, and {mean:.0} in the mean: {whole:?}"
        );
    }
}

/// All calls share 50 a second, of which the heartbeats of 2,000 tasks with a timeout of 60 s need at least 33.
#[tokio::test]
async fn under_a_throttle_no_task_is_lost_to_a_timeout_that_the_budget_could_have_met() {
    let world = World::new().await;
    let timeout = Duration::from_secs(60);
    let bridge = world.bridge(&[route(2_000, timeout)]).await;
    in_flight(&world, 2_000, timeout).await;
    world.sim.throttle(Throttle {
        action: "*".to_owned(),
        rate_per_sec: 50.0,
        burst: 50.0,
    });
    // Meanwhile a worker ends five tasks a second.
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut replied = HashMap::new();
    while begun.elapsed() < 2 * timeout {
        tick.tick().await;
        if let Some(task) = inbox.get("payments").await {
            let activity_id = task.header("activity-id").expect("an id");
            replied.insert(activity_id, unix_ms());
            inbox.reply(&task, Answer::done("ok").remove(0)).await;
        }
    }
    let ended = replied.len() as u64;
    let all = |summary: &Summary| summary.completed == ended || summary.timed_out > 0;
    let summary = world.until("the results are accepted", all).await;
    assert_eq!((summary.timed_out, summary.completed), (0, ended));
    assert_eq!(summary.open, 2_000 - ended);
    let throttled = summary.errors(HEARTBEAT, "ThrottlingException");
    let accepted = summary.ok(HEARTBEAT);
    println!("{ended} results, {accepted} heartbeats, {throttled} more throttled");
    assert!(throttled > 0, "the throttle was felt");
    assert!(
        throttled < accepted / 2,
        "the rate is learnt: {throttled} of {accepted} throttled"
    );
    // Results go first: beside so many heartbeats, none waited for long.
    let waits = world.sim.tasks().into_iter().filter_map(|task| {
        let sent = replied.get(&task.activity_id)?;
        task.closed_ms?.checked_sub(*sent)
    });
    let mut waits: Vec<_> = waits.collect();
    waits.sort_unstable();
    let (median, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    let again = summary.errors("RespondActivityTaskCompleted", "ThrottlingException");
    println!(
        "results waited {median} ms in the median, {p99} ms in 99 % of cases; {again} were throttled"
    );
    // The heartbeats come this far apart, where they would come every 17 s: that is what those before them cost.
    let apart = 2_000 * 2 * timeout.as_millis() as u64 / accepted;
    println!("heartbeats of a task came {apart} ms apart");
    assert!(
        median < apart / 10 && p99 < apart / 2,
        "{median} ms, {p99} ms, {apart} ms"
    );
    drop(bridge);
}
