//! Promises in seconds: heartbeats, cancels, dead workers, tasks that nobody starts.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, MOMENT, T, World, secs},
};
use activity_bridge::{
    broker::{
        Announcement::{CancelRequested, Gone},
        PublishError,
    },
    inflight::heartbeat_schedule::Due,
    intake::recovery,
    settle::heartbeat,
    source::SourceError,
    task::{Outcome, OutcomeKind, OwnFailure, Status},
};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::time::Instant;

/// What a question after a quiet task waits beyond the timeout.
const ASK_AFTER: f64 = 0.5;

const MAX_WAIT: &str = "heartbeat = { max_wait_secs = 25 }";

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_is_heartbeated_once_in_an_interval() {
    let world = World::new();
    world.dispatch().await;
    world.at(secs(600.0)).await;
    let beats = world.log.beats();
    let first = beats[0];
    assert!(first <= INTERVAL, "{first:?}");
    for pair in beats.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap <= INTERVAL + MOMENT, "{gap:?} of {T:?}");
        assert!(gap >= INTERVAL.mul_f64(0.66), "{gap:?}");
    }
    let last = *beats.last().expect("heartbeats");
    assert!(secs(600.0) - last <= INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_announced_within_an_interval_of_the_request() {
    for busy in [false, true] {
        let world = World::new();
        let id = world.dispatch().await;
        for second in 1..=100 {
            world.at(secs(f64::from(second))).await;
            if busy {
                world.reply(id, "heartbeat", "").await;
            }
            if second == 41 {
                world.source.cancel.store(true, Relaxed);
            }
        }
        let announced = world
            .log
            .times(|did| *did == Did::Announce(CancelRequested));
        assert_eq!(announced.len(), 1, "once, busy: {busy}");
        assert!(
            announced[0] - secs(41.0) <= INTERVAL + MOMENT,
            "{announced:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_start_nothing_is_told_but_the_start() {
    let world = World::new();
    let id = world.dispatch().await;
    world.at(secs(1.0)).await;
    world.reply(id, "started", "here").await;
    let first = world.log.wait_for(Did::Beat("here".to_owned())).await;
    assert_eq!(first, secs(1.0), "at once");
    world.at(secs(1.0) + T + secs(ASK_AFTER) - MOMENT).await;
    assert_eq!(world.log.beats().len(), 1);
    world.at(secs(1.0) + T + secs(ASK_AFTER) + 2 * MOMENT).await;
    assert_eq!(world.log.beats().len(), 2, "the question after it");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_noticed_a_timeout_after_its_last_heartbeat() {
    // What comes soon after a heartbeat waits for the end of the interval, and AWS counts from there.
    for last in [21.0, 22.0] {
        let world = World::new();
        let id = world.dispatch().await;
        world.source.time_out_after(T);
        world.at(secs(21.0)).await;
        world.reply(id, "started", "").await;
        if last > 21.0 {
            world.at(secs(last)).await;
            world.reply(id, "heartbeat", "").await;
        }
        let noticed = world.log.wait_for(Did::Announce(Gone)).await;
        let beats = world.log.beats();
        let told = beats[beats.len() - 2];
        assert!(told <= secs(last) + INTERVAL + MOMENT, "{told:?}");
        let expected = told + T + secs(ASK_AFTER);
        assert!(noticed - expected <= 2 * MOMENT, "{noticed:?}");
        assert_eq!(world.route.slots.in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_noticed_in_time_though_aws_took_long_to_take_its_last_heartbeat() {
    let world = World::new();
    let id = world.dispatch().await;
    world.source.time_out_after(T);
    *world.source.beat_takes.lock() = secs(3.0);
    world.at(secs(1.0)).await;
    world.reply(id, "started", "").await;
    let noticed = world.log.wait_for(Did::Announce(Gone)).await;
    // AWS has it at 4 s; the answer to the question takes 3 s as well.
    let expected = secs(4.0 + ASK_AFTER + 3.0) + T;
    assert!(noticed - expected <= 2 * MOMENT, "{noticed:?}");
    assert_eq!(world.log.beats().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_starts_is_failed_at_max_wait_secs() {
    let world = World::with(Kind::Memory, MAX_WAIT);
    world.dispatch().await;
    let failed = world.log.wait_for(Did::Settle(OutcomeKind::Failed)).await;
    assert!(failed - secs(25.0) <= MOMENT, "{failed:?}");
    let reason = "no worker started it within 25 s";
    let expected = Outcome::failed(OwnFailure::NotStarted, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_start_just_before_max_wait_secs_ends_keeps_the_task() {
    let world = World::with(Kind::Memory, MAX_WAIT);
    let id = world.dispatch().await;
    world.at(secs(25.0) - MOMENT).await;
    world.ask(id, "started").await;
    world.at(secs(50.0)).await;
    assert_eq!(world.log.settles(), 0);
    assert_eq!(world.log.count(&Did::Answer(Status::Alive)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_a_task_plain_acks_failed_is_told_that_it_is_gone() {
    let world = World::with(Kind::Memory, MAX_WAIT);
    let accept = world.source.settles.hold();
    let id = world.dispatch().await;
    world.log.wait_for(Did::Settle(OutcomeKind::Failed)).await;
    world.ask(id, "started").await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Answer(Status::Gone)), 1);
    assert_eq!(world.log.count(&Did::Announce(Gone)), 1);
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.settles(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_a_task_between_max_wait_secs_and_the_failure_keeps_it() {
    let world = World::before_the_start(Kind::Memory, MAX_WAIT);
    let id = world.dispatch().await;
    let inflight = &world.bridge.inflight;
    let unstarted = loop {
        inflight.wait_for_due().await;
        match inflight.next_due(Instant::now()) {
            Some(task) if task.due != Due::Beat => break task,
            Some(task) => heartbeat::handle_due(Arc::clone(&world.bridge), task).await,
            None => {}
        }
    };
    world.ask(id, "started").await;
    world.settle_down().await;
    heartbeat::handle_due(Arc::clone(&world.bridge), unstarted).await;
    assert_eq!(world.log.count(&Did::Answer(Status::Alive)), 1);
    assert_eq!(world.log.settles(), 0);
    let beats = world.log.beats().len();
    world.run_heartbeats();
    world.at(secs(36.0)).await;
    assert!(world.log.beats().len() > beats, "its start is passed on");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_adopted_at_the_start_is_heartbeated_within_a_second() {
    let world = World::before_the_start(Kind::File, "");
    let task = world.task();
    let orphan = world.record(&task, true);
    world.store.orphans.lock().push_back(orphan);
    world.at(secs(5.0)).await;
    let unpublished = recovery::restore_all(&world.bridge).await;
    assert!(unpublished.is_empty());
    world.run_heartbeats();
    world.at(secs(6.0) + MOMENT).await;
    assert_eq!(world.log.beats().len(), 1);
    assert_eq!(world.log.count(&Did::Publish), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_outlives_two_intervals_in_which_no_heartbeat_comes_through() {
    let world = World::new();
    world.dispatch().await;
    world.source.time_out_after(T);
    let heard = world.log.wait_for(Did::Beat(String::new())).await;
    for _ in 0..100 {
        let error = SourceError::Unavailable("503".to_owned());
        world.source.beats.then(Err(error));
    }
    world.at(heard + 2 * INTERVAL).await;
    assert!(world.log.beats().len() > 2, "it is tried again");
    world.source.beats.clear();
    world.at(secs(300.0)).await;
    assert_eq!(world.log.count(&Did::Announce(Gone)), 0);
    assert_eq!(world.bridge.inflight.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_could_not_be_announced_is_announced_once_when_the_broker_is_back() {
    let world = World::new();
    for _ in 0..10 {
        world.broker.announces.then(Err(PublishError::Away));
    }
    world.source.cancel.store(true, Relaxed);
    world.dispatch().await;
    world.at(secs(200.0)).await;
    assert_eq!(world.log.count(&Did::Announce(CancelRequested)), 1);
}
