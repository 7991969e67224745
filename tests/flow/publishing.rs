//! From the poll to the broker's confirm.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    broker::{Inbound, Link, PublishError},
    store::StoreError,
    task::{Input, Outcome, OutcomeKind::Completed, OutcomeKind::Failed, OwnFailure, TaskId},
};

#[tokio::test(start_paused = true)]
async fn a_return_after_the_confirm_fails_the_task_back_with_a_reason() {
    let world = World::new();
    let id = world.dispatch().await;
    world.send(Inbound::Returned(id)).await;
    world.all_ended().await;
    let reason = "activity-bridge could not route it to its queue";
    let expected = Outcome::failed(OwnFailure::Undelivered, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    assert_eq!(world.log.count(&Did::Publish), 1);
    world
        .log
        .assert_order(&[Did::NotedConfirm, Did::Accepted(Failed), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_return_of_an_unknown_task_or_of_one_that_has_ended_changes_nothing() {
    let world = World::new();
    let ended = world.dispatch().await;
    world.reply(ended, "completed", "").await;
    world.all_ended().await;
    let other = world.submit(world.task()).await;
    world.settle_down().await;
    world.send(Inbound::Returned(ended)).await;
    world.send(Inbound::Returned(TaskId::random())).await;
    world.settle_down().await;
    assert_eq!(world.log.settles(), 1, "the worker's own");
    assert_eq!(world.bridge.inflight.ids(), [other]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_before_the_confirm_settles_the_task_once_and_it_is_not_published_again() {
    for answer in [Ok(()), Err(PublishError::Unconfirmed("cut".to_owned()))] {
        let world = World::new();
        let confirm = world.broker.publishes.hold();
        let id = world.submit(world.task()).await;
        world.log.wait_for(Did::Publish).await;
        world.reply(id, "completed", "done").await;
        world.log.wait_for(Did::Removed).await;
        confirm.send(answer).expect("it is awaited");
        world.at(secs(600.0)).await;
        assert_eq!(world.log.count(&Did::Publish), 1);
        assert_eq!(world.log.settles(), 1);
        let order = [
            Did::Publish,
            Did::Accepted(Completed),
            Did::Ack(1),
            Did::Removed,
        ];
        world.log.assert_order(&order);
        assert!(world.store.open.lock().is_empty());
        assert_eq!(world.route.slots.in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_while_a_publish_is_tried_again_ends_the_attempts() {
    let world = World::new();
    world
        .broker
        .publishes
        .then(Err(PublishError::Nacked("full")));
    let id = world.submit(world.task()).await;
    world.log.wait_for(Did::Publish).await;
    world.reply(id, "completed", "done").await;
    world.at(secs(600.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.settles(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_unblocked_just_before_publish_within_secs_gets_the_message() {
    let world = World::with(Kind::Memory, "publish_within_secs = 60");
    world.broker.block();
    world.submit(world.task()).await;
    world.at(secs(60.0) - MOMENT).await;
    world.broker.unblock();
    world.at(secs(200.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.count(&Did::NotedConfirm), 1);
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_failed_back_at_publish_within_secs_and_a_late_confirm_changes_nothing() {
    let world = World::with(Kind::Memory, "publish_within_secs = 60");
    world.broker.block();
    world.submit(world.task()).await;
    let settled = world.log.wait_for(Did::Settle(Failed)).await;
    assert_eq!(settled, secs(60.0));
    world.broker.unblock();
    world.at(secs(200.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.settles(), 1);
    assert_eq!(world.route.slots.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_recorded_before_it_is_published() {
    let world = World::new();
    let recorded = world.store.inserts.hold();
    world.submit(world.task()).await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 0);
    recorded.send(Ok(())).expect("it is awaited");
    world.log.wait_for(Did::NotedConfirm).await;
    world.log.assert_order(&[Did::Recorded, Did::Publish]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_can_not_be_recorded_is_failed_back_unpublished() {
    let world = World::with(Kind::Memory, "publish_within_secs = 60");
    for _ in 0..200 {
        let away = StoreError::Unavailable("no disk".to_owned());
        world.store.inserts.then(Err(away));
    }
    world.submit(world.task()).await;
    let settled = world.log.wait_for(Did::Settle(Failed)).await;
    assert_eq!(settled, secs(60.0));
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Publish), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_broker_that_is_away_and_goes_out_when_it_is_back() {
    let world = World::new();
    world.broker.link.send_replace(Link::Away("cut".to_owned()));
    world.broker.publishes.then(Err(PublishError::Away));
    world.submit(world.task()).await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1, "it is not tried in vain");
    assert!(world.log.beats().len() >= 10, "meanwhile it is kept alive");
    world.broker.unblock();
    let confirmed = world.log.wait_for(Did::NotedConfirm).await;
    assert!(confirmed - secs(100.0) <= MOMENT, "{confirmed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_after_its_task_was_failed_back_is_removed() {
    let world = World::with(Kind::File, "publish_within_secs = 60");
    let recorded = world.store.inserts.hold();
    world.submit(world.task()).await;
    world.log.wait_for(Did::Accepted(Failed)).await;
    world.all_ended().await;
    recorded.send(Ok(())).expect("it is awaited");
    world.log.wait_for(Did::Recorded).await;
    world.settle_down().await;
    assert!(world.store.open.lock().is_empty());
    assert_eq!(world.log.count(&Did::Publish), 0);
    world.log.assert_order(&[Did::Recorded, Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_larger_than_the_service_allows_is_failed_back_and_never_published() {
    let world = World::new();
    let mut task = world.task();
    task.input = Input::from("x".repeat(1_001));
    world.submit(task).await;
    world.log.wait_for(Did::Settle(Failed)).await;
    world.all_ended().await;
    let reason = "its input is too large";
    let expected = Outcome::failed(OwnFailure::Undelivered, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    assert_eq!(world.log.count(&Did::Publish), 0);
    assert_eq!(world.log.count(&Did::Recorded), 0);
}
