//! Recovery: tasks from before the start.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, MOMENT, T, World, secs},
};
use activity_bridge::{
    broker::{Announcement::Gone, Durability, Inbound},
    inflight::Progress,
    intake::recovery,
    store::{Note, Record, StoreError},
    task::{Outcome, OutcomeKind::Completed, OutcomeKind::Failed, OwnFailure, SourceKind, TaskId},
};

fn unavailable() -> StoreError {
    StoreError::Unavailable("no answer".to_owned())
}

/// A bridge before its start, with one task in its store that the broker has not confirmed.
fn restarted() -> (World, TaskId) {
    let world = World::before_the_start(Kind::File, "");
    let id = leave(&world, |record| record);
    (world, id)
}

/// A bridge before its start, whose broker keeps no messages, with one task in its store.
fn forgetful(settings: &str, change: impl FnOnce(Record) -> Record) -> (World, TaskId) {
    let world = World::before_the_start_with(Kind::File, settings, Durability::Process);
    let id = leave(&world, change);
    (world, id)
}

/// Puts the record and the message of a task into the store, as a process leaves them that is killed.
fn leave(world: &World, change: impl FnOnce(Record) -> Record) -> TaskId {
    let task = world.task();
    let id = task.id;
    let orphan = change(world.record(&task, false));
    world.store.orphans.lock().push_back(orphan);
    world.store.open.lock().insert(id);
    world.store.messages.lock().insert(id, task);
    id
}

async fn recover(world: &World) {
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    world.run_heartbeats();
}

/// The route of this name polled Step Functions before a restart. SWF would take its token for one that is gone.
#[tokio::test(start_paused = true)]
async fn a_task_of_another_service_stays_in_the_store_and_aws_hears_nothing_of_it() {
    let world = World::before_the_start(Kind::File, "");
    let id = leave(&world, |record| Record {
        source: Some(SourceKind::StepFunctions),
        published: true,
        ..record
    });
    recover(&world).await;
    tokio::time::sleep(INTERVAL * 3).await;
    assert!(world.bridge.inflight.is_empty());
    assert!(world.store.open.lock().contains(&id), "its record is there");
    assert_eq!(world.log.count(&Did::Beat(String::new())), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_broker_has_not_confirmed_is_published_again_with_the_same_id() {
    let (world, id) = restarted();
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    assert_eq!(*world.broker.published.lock(), [id]);
    assert_eq!(world.log.count(&Did::NotedConfirm), 1);
    assert_eq!(world.route.slots.in_use(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_before_the_message_is_published_again_makes_that_needless() {
    let (world, id) = restarted();
    let unpublished = recovery::restore_all(&world.bridge).await;
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    recovery::republish(&world.bridge, unpublished).await;
    assert_eq!(world.log.count(&Did::Publish), 0);
    let order = [Did::Accepted(Completed), Did::Ack(1), Did::Removed];
    world.log.assert_order(&order);
}

/// Beyond the slots: each may have a reply that waits for AWS.
#[tokio::test(start_paused = true)]
async fn the_broker_is_told_how_many_tasks_are_in_flight_when_some_are_adopted() {
    let world = World::before_the_start(Kind::File, "max_in_flight = 2");
    for _ in 0..5 {
        let record = world.record(&world.task(), true);
        world.store.orphans.lock().push_back(record);
    }
    recovery::restore_all(&world.bridge).await;
    world.log.assert_order(&[Did::ExpectReplies(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_message_the_store_has_lost_is_failed_back_at_once() {
    is_failed_back_at_once(StoreError::NoMessage).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_message_can_not_be_read_is_failed_back_at_once() {
    is_failed_back_at_once(StoreError::Unreadable("bytes".to_owned())).await;
}

async fn is_failed_back_at_once(error: StoreError) {
    let (world, _) = restarted();
    world.store.message_answers.then(Err(error));
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    world.all_ended().await;
    assert!(world.log.now() <= secs(1.0));
    assert_eq!(world.log.count(&Did::Publish), 0);
    let order = [Did::Accepted(Failed), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_can_not_be_read_at_the_start_is_asked_until_it_can() {
    let (world, id) = restarted();
    for _ in 0..10 {
        world.store.adoptions.then(Err(unavailable()));
        world.store.message_answers.then(Err(unavailable()));
    }
    let unpublished = recovery::restore_all(&world.bridge).await;
    assert_eq!(world.bridge.inflight.ids(), [id]);
    recovery::republish(&world.bridge, unpublished).await;
    assert_eq!(*world.broker.published.lock(), [id]);
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_broker_a_task_is_published_again_with_its_count_and_waits_again() {
    let max_wait = "heartbeat = { max_wait_secs = 25 }";
    let (world, id) = forgetful(max_wait, |record| Record {
        polled_at: record.polled_at - secs(600.0),
        begun: true,
        durable: false,
        failed_deliveries: 2,
        ..record
    });
    recover(&world).await;
    assert_eq!(*world.broker.redelivered.lock(), [(true, 2)]);
    assert_eq!(world.log.count(&Did::NotedConfirm), 0);
    assert_eq!(world.bridge.inflight.list()[0].progress, Progress::Waiting);
    // Nobody has begun it, so the bridge speaks for it, and its wait begins now.
    world.at(secs(20.0)).await;
    assert!(world.log.beats().len() >= 2, "{:?}", world.log.beats());
    world.redeliver(id, 2).await;
    world.at(secs(60.0)).await;
    assert_eq!(world.log.settles(), 0);
    let notes = world.store.notes.lock().clone();
    assert_eq!(notes, [(id, Note::FailedDeliveries(3))]);
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_broker_a_released_task_is_not_published_again_and_its_worker_is_awaited()
{
    let (world, id) = forgetful("", |record| Record {
        begun: true,
        published: true,
        durable: false,
        ..record
    });
    world.source.time_out_after(T);
    recover(&world).await;
    world.at(secs(20.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 0);
    // What was said last may have been lost, so it is told once more.
    assert_eq!(world.log.beats().len(), 1);
    world.reply(id, "heartbeat", "half").await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Beat("half".to_owned())), 1);
    let gone = world.log.wait_for(Did::Announce(Gone)).await;
    assert!(gone <= secs(20.5) + T + 2 * MOMENT, "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_broker_a_fresh_task_is_not_said_to_be_redelivered() {
    let world = World::forgetful(Kind::File, "");
    world.deliver().await;
    world.at(INTERVAL).await;
    assert_eq!(*world.broker.redelivered.lock(), [(false, 0)]);
}

/// What each kind of broker left in the store, found by a process with the other kind.
#[tokio::test(start_paused = true)]
async fn after_a_change_of_broker_what_has_its_message_is_published_and_the_rest_is_failed() {
    for (durability, was_durable) in [(Durability::Process, true), (Durability::Durable, false)] {
        let world = World::before_the_start_with(Kind::File, "", durability);
        let written = |published, begun| {
            move |record| Record {
                published,
                begun,
                durable: was_durable,
                failed_deliveries: u32::from(!was_durable),
                ..record
            }
        };
        let waits = leave(&world, written(false, false));
        leave(&world, written(true, true));
        recover(&world).await;
        world.log.wait_for(Did::Accepted(Failed)).await;
        world.settle_down().await;
        assert_eq!(*world.broker.published.lock(), [waits], "{durability:?}");
        let reason = "activity-bridge was started with another kind of broker, and no reply can come from the one before";
        let expected = Outcome::failed(OwnFailure::ShutDown, reason);
        assert_eq!(*world.source.outcomes.lock(), [expected]);
        assert_eq!(world.bridge.inflight.ids(), [waits]);
        let confirmed = usize::from(durability == Durability::Durable);
        assert_eq!(world.log.count(&Did::NotedConfirm), confirmed);
    }
}
