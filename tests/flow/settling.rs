//! An outcome on its way to AWS.

use super::{
    log::Did,
    world::{World, secs},
};
use activity_bridge::{
    source::SourceError,
    task::{
        Outcome,
        OutcomeKind::{Canceled, Completed, Failed},
        OwnFailure, Timeout,
    },
};
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

fn throttled() -> SourceError {
    SourceError::Throttled("rate exceeded".to_owned())
}

fn unavailable() -> SourceError {
    SourceError::Unavailable("503".to_owned())
}

fn invalid() -> SourceError {
    SourceError::Invalid("too long".to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_tried_until_aws_accepts_it_far_past_three_attempts() {
    for error in [
        throttled(),
        unavailable(),
        SourceError::Refused("no".to_owned()),
    ] {
        let world = World::new();
        for _ in 0..20 {
            world.source.settles.then(Err(error.clone()));
        }
        let id = world.dispatch().await;
        world.reply(id, "completed", "done").await;
        world.all_ended().await;
        assert_eq!(world.log.settles(), 21, "{error}");
        let order = [Did::Accepted(Completed), Did::Ack(1), Did::Removed];
        world.log.assert_order(&order);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_gone_ends_it_at_once() {
    let world = World::new();
    let gone = SourceError::Gone("closed".to_owned());
    world.source.settles.then(Err(gone));
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 0));
    world.log.assert_order(&[Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_aws_rejects_is_parked_and_replaced_by_a_failure() {
    let world = World::new();
    world.source.settles.then(Err(invalid()));
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    let reason = "AWS refused it as completed: not valid: too long";
    let replaced = Outcome::failed(OwnFailure::OutcomeRefused, reason);
    assert_eq!(world.source.outcomes.lock()[1..], [replaced]);
    let because = invalid().to_string();
    world.log.assert_order(&[
        Did::Settle(Completed),
        Did::Park(because),
        Did::Accepted(Failed),
        Did::Ack(1),
        Did::Removed,
    ]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_replaced_once_and_parked_once() {
    let world = World::new();
    world.source.settles.then(Err(invalid()));
    world.source.settles.then(Err(invalid()));
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!((world.log.settles(), world.log.parked()), (2, 1));
    world.log.assert_order(&[Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_attempts_and_the_outcome_is_parked() {
    let world = World::new();
    for _ in 0..2 {
        world.source.settles.then(Err(unavailable()));
    }
    let mut task = world.task();
    task.timeouts.start_to_close = Timeout::After(Duration::from_secs(60));
    task.polled_at = SystemTime::now() - Duration::from_secs(61);
    let id = world.submit(task).await;
    world.log.wait_for(Did::NotedConfirm).await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 1));
    let because = "the task's deadline passed".to_owned();
    world
        .log
        .assert_order(&[Did::Park(because), Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_finds_the_token_dead_ends_an_outcome_that_aws_refuses() {
    let world = World::new();
    let id = world.dispatch().await;
    world.source.time_out_after(Duration::ZERO);
    for _ in 0..1_000 {
        let refused = SourceError::Refused("no permission".to_owned());
        world.source.settles.then(Err(refused));
    }
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert!(world.log.now() < secs(120.0), "{:?}", world.log.now());
    world.log.assert_order(&[Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_aws_did_not_ask_for_is_sent_as_a_failure() {
    for (requested, sent) in [(false, Failed), (true, Canceled)] {
        let world = World::new();
        world.source.cancel.store(requested, Relaxed);
        let id = world.dispatch().await;
        world.reply(id, "canceled", "stopped").await;
        world.all_ended().await;
        assert_eq!(world.log.count(&Did::Accepted(sent)), 1, "{requested}");
        assert_eq!(world.log.settles(), 1);
    }
}
