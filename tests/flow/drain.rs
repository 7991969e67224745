//! The drain.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    phase::Phase,
    source::SourceError,
    store::Note,
    task::{Outcome, OutcomeKind::Completed, OutcomeKind::Failed, OwnFailure},
};

const ONE: &str = "pollers = { min = 1, max = 1 }";

/// The grace period is 90 s, of which the last 10 s are kept for failing back.
const FLUSH_FROM: f64 = 80.0;

#[tokio::test(start_paused = true)]
async fn open_polls_are_awaited_then_tasks_and_then_all_is_closed() {
    let mut world = World::with(Kind::File, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    let drain = tokio::spawn(world.shutdown().run());
    world.at(secs(50.0)).await;
    assert_eq!(*world.phase.borrow(), Phase::Quiescing);
    let task = world.task();
    let id = task.id;
    answer.send(Ok(Some(task))).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(*world.phase.borrow(), Phase::Draining);
    world.log.wait_for(Did::NotedConfirm).await;
    world.at(secs(75.0)).await;
    world.reply(id, "completed", "done").await;
    assert!(drain.await.expect("no panic"), "nothing is left");
    assert_eq!(*world.phase.borrow(), Phase::Closed);
    assert!(world.log.now() - secs(75.0) <= MOMENT);
    assert_eq!(world.log.count(&Did::Poll), 1);
    assert!(!world.log.beats().is_empty(), "heartbeats went on");
    world.log.assert_order(&[
        Did::Publish,
        Did::Accepted(Completed),
        Did::Ack(1),
        Did::Removed,
        Did::CloseBroker(false),
        Did::CloseStore,
    ]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_stays_in_a_store_that_outlives_the_process() {
    let mut world = World::with(Kind::File, ONE);
    world.dispatch().await;
    assert!(world.shutdown().run().await);
    assert!(world.log.now() - secs(FLUSH_FROM) <= 2 * MOMENT);
    assert_eq!(world.log.settles(), 0);
    assert_eq!(world.store.open.lock().len(), 1);
    let order = [Did::CloseBroker(true), Did::CloseStore];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_failed_back_where_the_store_forgets() {
    let mut world = World::with(Kind::Memory, ONE);
    world.dispatch().await;
    assert!(world.shutdown().run().await);
    let failed = world.log.wait_for(Did::Accepted(Failed)).await;
    assert!(failed - secs(FLUSH_FROM) <= 2 * MOMENT, "{failed:?}");
    assert!(world.log.now() <= secs(90.0));
    let reason = "activity-bridge was shut down before the worker replied";
    let expected = Outcome::failed(OwnFailure::ShutDown, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    let order = [Did::Removed, Did::CloseBroker(false), Did::CloseStore];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn what_no_store_has_is_failed_back_though_the_store_outlives_the_process() {
    let mut world = World::with(Kind::File, ONE);
    let _never = world.store.inserts.hold();
    world.submit(world.task()).await;
    assert!(world.shutdown().run().await);
    assert_eq!(world.log.count(&Did::Accepted(Failed)), 1);
    assert_eq!(world.log.count(&Did::Publish), 0);
}

#[tokio::test(start_paused = true)]
async fn the_grace_period_is_the_end_even_if_aws_takes_nothing() {
    let mut world = World::with(Kind::Memory, ONE);
    for _ in 0..1_000 {
        let away = SourceError::Unavailable("503".to_owned());
        world.source.settles.then(Err(away));
    }
    world.dispatch().await;
    assert!(!world.shutdown().run().await, "a task is lost");
    let end = world.log.now();
    assert!(end - secs(90.0) <= 2 * MOMENT, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_aws_still_holds_is_awaited_until_the_flush() {
    let mut world = World::with(Kind::File, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    let drain = tokio::spawn(world.shutdown().run());
    world.at(secs(85.0)).await;
    assert_eq!(*world.phase.borrow(), Phase::Flushing);
    let task = world.task();
    answer.send(Ok(Some(task))).expect("it is awaited");
    assert!(drain.await.expect("no panic"), "it is recorded, and stays");
    assert_eq!(world.store.open.lock().len(), 1);
    assert_eq!(world.log.count(&Did::Publish), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_poll_brings_while_flushing_is_failed_back_where_the_store_forgets() {
    let mut world = World::with(Kind::Memory, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    let drain = tokio::spawn(world.shutdown().run());
    world.at(secs(85.0)).await;
    assert_eq!(*world.phase.borrow(), Phase::Flushing);
    answer.send(Ok(Some(world.task()))).expect("it is awaited");
    assert!(drain.await.expect("no panic"), "nothing is left");
    let reason = "activity-bridge was shut down before the worker replied";
    let expected = Outcome::failed(OwnFailure::ShutDown, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    world
        .log
        .assert_order(&[Did::Accepted(Failed), Did::CloseStore]);
}

#[tokio::test(start_paused = true)]
async fn with_give_back_what_is_left_is_failed_back_though_the_store_outlives_the_process() {
    let mut world = World::with(Kind::File, ONE);
    world.dispatch().await;
    let mut shutdown = world.shutdown();
    shutdown.config.give_back = true;
    assert!(shutdown.run().await);
    assert!(world.store.open.lock().is_empty());
    let order = [Did::Accepted(Failed), Did::Removed, Did::CloseStore];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_waits_for_a_free_slot_does_not_poll_when_the_drain_frees_one() {
    let mut world = World::with(
        Kind::Memory,
        "max_in_flight = 1\npollers = { min = 1, max = 1 }",
    );
    let id = world.dispatch().await;
    world.poll();
    world.at(secs(10.0)).await;
    let drain = tokio::spawn(world.shutdown().run());
    world.settle_down().await;
    world.reply(id, "completed", "done").await;
    assert!(drain.await.expect("no panic"));
    assert_eq!(world.log.count(&Did::Poll), 0);
    assert!(
        world.log.now() <= secs(10.0) + 4 * MOMENT,
        "{:?}",
        world.log.now()
    );
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_aws_does_not_take_yet_is_tried_until_the_grace_period_ends() {
    let mut world = World::with(Kind::Memory, ONE);
    let id = world.dispatch().await;
    let accept = world.source.settles.hold();
    world.reply(id, "completed", "done").await;
    let drain = tokio::spawn(world.shutdown().run());
    world.at(secs(89.0)).await;
    accept.send(Ok(())).expect("it is awaited");
    assert!(drain.await.expect("no panic"));
    assert_eq!(world.log.settles(), 1, "it is not failed back beside it");
    let order = [Did::Accepted(Completed), Did::Ack(1), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_a_clean_shutdown_ends_is_not_counted_as_failed() {
    let mut world = World::forgetful(Kind::File, ONE);
    let id = world.deliver().await;
    assert!(world.shutdown().run().await);
    let notes = world.store.notes.lock().clone();
    let counts = [1, 0].map(|count| (id, Note::FailedDeliveries(count)));
    assert_eq!(notes, counts);
    let order = [Did::CloseBroker(true), Did::CloseStore];
    world.log.assert_order(&order);
}
