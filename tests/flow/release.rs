//! A person releases tasks that wait for a worker.

use super::{
    log::Did,
    lost_queue::{dispatch, find_missing},
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::{Durability, PublishError},
    intake::{
        gate::Gate,
        release::{ReleaseResult as R, Remedy, release},
    },
    source::SourceError,
    store::StoreError,
    task::{Outcome, OutcomeKind::Completed, OwnFailure, TaskId},
};
use std::{collections::HashMap, pin::pin};

const LATER: &str = "publish_within_secs = 3000";

/// What became of each task.
async fn released(world: &World, remedy: Remedy) -> HashMap<TaskId, R> {
    let tasks = world.bridge.inflight.list();
    let results = release(&world.bridge, &tasks, &remedy).await;
    assert_eq!(results.len(), tasks.len());
    let ids = tasks.iter().map(|task| task.id);
    ids.zip(results).collect()
}

async fn published(world: &World) -> HashMap<TaskId, R> {
    released(world, Remedy::Publish).await
}

async fn failed(world: &World) -> HashMap<TaskId, R> {
    released(world, Remedy::Fail("purged".to_owned())).await
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_published_again_with_the_same_id_and_what_has_begun_is_left_alone() {
    let world = World::with(Kind::File, "");
    let (waiting, begun) = (dispatch(&world).await, dispatch(&world).await);
    world.reply(begun, "started", "").await;
    world.settle_down().await;
    let expected = HashMap::from([(waiting, R::Published), (begun, R::Begun)]);
    assert_eq!(published(&world).await, expected);
    assert_eq!(*world.broker.published.lock(), [waiting, begun, waiting]);
    // A process that finds the record after a crash must publish the message too.
    let order = [Did::NotedLoss, Did::Publish, Did::NotedConfirm];
    world.log.assert_order(&order);
    assert_eq!(world.log.count(&Did::NotedConfirm), 3);
    assert_eq!(world.route.metrics.republished.get(), 1);
}

/// A process that is killed after the queue is made again would leave them waiting for ever.
#[tokio::test(start_paused = true)]
async fn a_lost_queue_is_not_made_again_before_the_loss_of_released_tasks_is_noted() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    let held = world.store.losses.hold();
    let mut releasing = pin!(published(&world));
    assert!(futures_util::poll!(&mut releasing).is_pending());
    world.settle_down().await;
    let mut noting = find_missing(&world).await;
    let noted = world.log.count(&Did::NotedLoss);
    assert_eq!((noting.try_recv(), noted), (Ok(()), 1));
    held.send(Ok(())).expect("it is awaited");
    assert_eq!(releasing.await, HashMap::from([(id, R::Published)]));
    assert_eq!(*world.broker.published.lock(), [id, id]);
}

/// The loss could not be noted, and the tasks would be failed back though their messages are in the queue.
#[tokio::test(start_paused = true)]
async fn tasks_wait_as_before_where_the_store_can_be_read_but_not_written() {
    let world = World::with(Kind::Redis, "");
    let id = dispatch(&world).await;
    *world.store.unavailable.lock() = Some("out of memory".to_owned());
    assert_eq!(published(&world).await, HashMap::from([(id, R::StoreAway)]));
    assert_eq!(*world.broker.published.lock(), [id]);
    assert_eq!(world.log.count(&Did::NotedLoss), 0);
}

/// It was not lost, so it is in its queue twice.
#[tokio::test(start_paused = true)]
async fn a_task_that_was_not_lost_is_begun_twice_and_ends_once_with_the_first_outcome() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    assert_eq!(published(&world).await, HashMap::from([(id, R::Published)]));
    for _ in 0..2 {
        world.reply(id, "started", "").await;
    }
    world.settle_down().await;
    assert_eq!(published(&world).await, HashMap::from([(id, R::Begun)]));
    world.reply(id, "completed", "the first").await;
    world.all_ended().await;
    let late = world.reply(id, "completed", "the second").await;
    world.log.wait_for(Did::Ack(late)).await;
    let result = "the first".to_owned();
    let expected = Outcome::Completed { result };
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    assert_eq!(world.bridge.metrics.late_replies.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_bridge_is_the_broker_a_task_stays_in_its_queue_and_is_not_there_twice() {
    for kind in [Kind::Memory, Kind::File] {
        let world = World::forgetful(kind, "");
        let waiting = world.submit(world.task()).await;
        let delivered = world.deliver().await;
        let expected = HashMap::from([(waiting, R::Queued), (delivered, R::Begun)]);
        assert_eq!(published(&world).await, expected);
        world.come_back(delivered, 1).await;
        let expected = HashMap::from([(waiting, R::Queued), (delivered, R::Queued)]);
        assert_eq!(published(&world).await, expected);
        assert_eq!(world.log.count(&Did::Publish), 2);
        assert_eq!(world.log.count(&Did::NotedLoss), 0);
        assert_eq!(world.log.settles(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_failed_back_with_the_reason_unless_a_worker_has_begun() {
    for durability in [Durability::Durable, Durability::Process] {
        let world = World::with_broker(durability);
        let waiting = world.submit(world.task()).await;
        world.settle_down().await;
        let begun = world.submit(world.task()).await;
        world.settle_down().await;
        match durability {
            Durability::Durable => drop(world.reply(begun, "started", "").await),
            Durability::Process => world.redeliver(begun, 0).await,
        }
        world.settle_down().await;
        let expected = HashMap::from([(waiting, R::Failed), (begun, R::Begun)]);
        assert_eq!(failed(&world).await, expected);
        let expected = Outcome::failed(OwnFailure::FailedByOperator, "purged");
        assert_eq!(*world.source.outcomes.lock(), [expected]);
        assert_eq!(world.bridge.inflight.ids(), [begun]);
        // No worker gets it from the bridge's own queue.
        assert!(world.log.count(&Did::Withdraw(waiting)) > 0);
        assert_eq!(failed(&world).await, HashMap::from([(begun, R::Begun)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_settled_is_left_alone() {
    let world = World::with(Kind::File, "");
    let accepted = world.source.settles.hold();
    let id = dispatch(&world).await;
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    let expected = HashMap::from([(id, R::Settling)]);
    assert_eq!(published(&world).await, expected);
    assert_eq!(failed(&world).await, expected);
    accepted.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

/// Perhaps it is in its queue. So it is not failed, as it is where the queue itself is lost.
#[tokio::test(start_paused = true)]
async fn a_task_whose_message_nobody_has_goes_on_waiting_until_a_person_fails_it() {
    let world = World::new();
    let id = dispatch(&world).await;
    world.store.message_answers.then(Err(StoreError::NoMessage));
    assert_eq!(published(&world).await, HashMap::from([(id, R::NoCopy)]));
    world.at(secs(600.0)).await;
    assert_eq!(
        (world.log.count(&Did::Publish), world.log.settles()),
        (1, 0)
    );
    assert_eq!(world.log.count(&Did::NotedLoss), 0);
    assert_eq!(failed(&world).await, HashMap::from([(id, R::Failed)]));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_tasks_go_on_waiting_and_each_is_told() {
    let world = World::with(Kind::Redis, "");
    for _ in 0..30 {
        dispatch(&world).await;
    }
    let away = || StoreError::Unavailable("no answer".to_owned());
    for _ in 0..10 {
        let answer = Err(away());
        world.store.message_answers.after(secs(5.0), answer);
    }
    let asked = world.log.now();
    let results = published(&world).await;
    assert!(world.log.now() < asked + secs(6.0), "not each is asked for");
    assert!(results.values().all(|result| *result == R::StoreAway));
    assert_eq!(world.log.count(&Did::Publish), 30);
    assert_eq!(world.log.count(&Did::NotedLoss), 0);
    let results = published(&world).await;
    assert_eq!(results.len(), 30);
    assert!(results.values().all(|result| *result == R::Published));
    assert_eq!(world.log.count(&Did::Publish), 60);
}

/// The next process would publish the others, or fail them.
#[tokio::test(start_paused = true)]
async fn only_what_is_published_again_is_noted_as_lost() {
    let world = World::with(Kind::Redis, "");
    for _ in 0..30 {
        dispatch(&world).await;
    }
    for _ in 0..10 {
        world.store.message_answers.then(Ok(Some(world.task())));
    }
    for _ in 0..10 {
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.message_answers.then(Err(away));
    }
    let results = published(&world).await;
    let count = |expected| results.values().filter(|found| **found == expected).count();
    assert_eq!((count(R::Published), count(R::StoreAway)), (10, 20));
    assert_eq!(world.log.count(&Did::NotedLoss), 10);
    assert_eq!(world.log.count(&Did::Publish), 40);
    assert!(world.store.lost.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_begun_or_ends_while_it_is_published_again_is_not_told_as_published() {
    for (reply, expected) in [("started", R::Begun), ("completed", R::Ended)] {
        let world = World::with(Kind::File, "");
        let id = dispatch(&world).await;
        let confirm = world.broker.publishes.hold();
        let (results, ()) = tokio::join!(published(&world), async {
            world.settle_down().await;
            world.reply(id, reply, "").await;
            world.settle_down().await;
            let refused = Err(PublishError::Nacked("it is full"));
            confirm.send(refused).expect("it is awaited");
        });
        assert_eq!(results, HashMap::from([(id, expected)]));
        assert!(world.store.lost.lock().is_empty() || expected == R::Ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_confirm_is_not_awaited_for_ever_and_the_bridge_goes_on() {
    let mut world = World::with(Kind::File, LATER);
    let id = dispatch(&world).await;
    world.poll();
    world.settle_down().await;
    let refused = || Err(PublishError::Nacked("it is full"));
    for _ in 0..20 {
        world.broker.publishes.then(refused());
    }
    let asked = world.log.now();
    let expected = HashMap::from([(id, R::Publishing)]);
    assert_eq!(published(&world).await, expected);
    let took = world.log.now() - asked;
    assert!((secs(14.0)..secs(16.0)).contains(&took), "{took:?}");
    assert!(matches!(&*world.gate.borrow(), Gate::Undelivered(1)));
    // Another person changes nothing.
    assert_eq!(published(&world).await, expected);
    world.at(secs(300.0)).await;
    let noted = world.log.count(&Did::NotedConfirm);
    assert_eq!(noted, 2, "confirmed in the end");
    assert_eq!(world.log.settles(), 0);
}

/// What can't be published is failed back in the end. Until then the answer does not say that it was published.
#[tokio::test(start_paused = true)]
async fn the_answer_comes_before_a_task_that_can_not_be_published_is_failed_back() {
    let world = World::with(Kind::File, "publish_within_secs = 10");
    let id = dispatch(&world).await;
    for _ in 0..100 {
        let refused = Err(PublishError::Nacked("it is full"));
        world.broker.publishes.then(refused);
    }
    assert_eq!(
        published(&world).await,
        HashMap::from([(id, R::Publishing)])
    );
    world.all_ended().await;
    assert_eq!(world.log.settles(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_aws_does_not_take_is_told_and_tried_on() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    for _ in 0..20 {
        let away = SourceError::Unavailable("503".to_owned());
        world.source.settles.then(Err(away));
    }
    assert_eq!(failed(&world).await, HashMap::from([(id, R::Failing)]));
    world.all_ended().await;
    let expected = Outcome::failed(OwnFailure::FailedByOperator, "purged");
    assert_eq!(world.source.outcomes.lock().last(), Some(&expected));
}

/// The worker says so while the message is read.
#[tokio::test(start_paused = true)]
async fn a_task_that_a_worker_begins_meanwhile_is_not_published_again() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    let read = world.store.message_answers.hold();
    let (results, ()) = tokio::join!(published(&world), async {
        world.settle_down().await;
        world.reply(id, "started", "").await;
        world.settle_down().await;
        read.send(Ok(Some(world.task()))).expect("it is read");
    });
    assert_eq!(results, HashMap::from([(id, R::Begun)]));
    assert_eq!(world.log.count(&Did::Publish), 1);
    // The next start does not publish it.
    assert_eq!(world.log.count(&Did::NotedLoss), 0);
}
