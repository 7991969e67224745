//! Recovery: tasks from before the start.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    intake::recovery,
    store::StoreError,
    task::{OutcomeKind::Completed, OutcomeKind::Failed, TaskId},
};

fn unavailable() -> StoreError {
    StoreError::Unavailable("no answer".to_owned())
}

/// A bridge before its start, with one task in its store that the broker has not confirmed.
fn restarted() -> (World, TaskId) {
    let world = World::before_the_start(Kind::File, "");
    let task = world.task();
    let id = task.id;
    let orphan = world.record(&task, false);
    world.store.orphans.lock().push_back(orphan);
    world.store.open.lock().insert(id);
    world.store.messages.lock().insert(id, task);
    (world, id)
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

#[tokio::test(start_paused = true)]
async fn a_task_whose_message_the_store_has_lost_is_failed_back_at_once() {
    let (world, _) = restarted();
    let lost = Err(StoreError::NoMessage);
    world.store.message_answers.then(lost);
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
