//! The broker has lost a queue with the tasks that waited in it.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::{Inbound, PublishError},
    intake::{gate::Gate, recovery},
    route::Route,
    store::{Note, Record, StoreError},
    task::{
        Outcome, OutcomeKind::Completed, OutcomeKind::Failed, OwnFailure, TaskId, Timeout, Timeouts,
    },
};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};

const ANOTHER_ROUTE: &str = r#"
    [[routes]]
    name = "mail"
    queue = "mail"
    swf = { domain = "shop", task_list = "mail" }
"#;

/// A task that the broker has confirmed, and of which the store has the message.
pub async fn dispatch(world: &World) -> TaskId {
    let task = world.task();
    let confirmed = world.log.count(&Did::NotedConfirm);
    world.store.messages.lock().insert(task.id, task.clone());
    let id = world.submit(task).await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::NotedConfirm), confirmed + 1);
    id
}

pub async fn lose(world: &World, queue: &str) {
    lose_all_but(world, queue, None).await;
}

/// Loses the replies of a queue, and, unless so many messages are in it, perhaps the queue.
pub async fn lose_all_but(world: &World, queue: &str, ready: Option<usize>) {
    let item = Inbound::QueueLost {
        queue: queue.to_owned(),
        missing_at: Instant::now(),
        ready,
        noted: None,
    };
    world.send(item).await;
    world.settle_down().await;
}

fn republished(route: &Route) -> u64 {
    route.metrics.republished.get()
}

#[tokio::test(start_paused = true)]
async fn what_waited_in_a_lost_queue_is_published_again_with_the_same_ids_and_what_has_begun_is_not()
 {
    let world = World::with(Kind::File, "");
    let mut waiting = [dispatch(&world).await, dispatch(&world).await];
    let begun = dispatch(&world).await;
    world.reply(begun, "started", "").await;
    world.settle_down().await;
    lose(&world, "payments").await;
    let mut again = world.broker.published.lock().split_off(3);
    waiting.sort_unstable();
    again.sort_unstable();
    assert_eq!(again, waiting);
    assert_eq!(world.log.count(&Did::NotedConfirm), 5);
    // A process that finds the records after a crash must publish the messages too.
    let order = [Did::NotedLoss, Did::Publish, Did::NotedConfirm];
    world.log.assert_order(&order);
    assert_eq!(republished(&world.route), 2);
    let notes = world.store.notes.lock().clone();
    assert_eq!(notes, [(begun, Note::Begun)]);
    for id in waiting.into_iter().chain([begun]) {
        world.reply(id, "completed", "done").await;
    }
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 3);
    assert_eq!(world.log.settles(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_lost_twice_has_its_tasks_published_twice_again() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    let message = world.task();
    for _ in 0..2 {
        let message = activity_bridge::task::Task {
            id,
            ..message.clone()
        };
        world.store.messages.lock().insert(id, message);
        lose(&world, "payments").await;
    }
    assert_eq!(*world.broker.published.lock(), [id, id, id]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_queue_of_another_route_and_a_queue_without_tasks_change_nothing() {
    let world = World::with(Kind::File, ANOTHER_ROUTE);
    lose(&world, "payments").await;
    dispatch(&world).await;
    lose(&world, "mail").await;
    lose(&world, "nobody's").await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.count(&Did::NotedLoss), 0);
    assert_eq!(republished(&world.route), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_message_nobody_has_is_failed_back_with_a_reason() {
    let world = World::new();
    dispatch(&world).await;
    world.store.message_answers.then(Err(StoreError::NoMessage));
    lose(&world, "payments").await;
    world.all_ended().await;
    assert!(world.log.now() <= secs(1.0), "{:?}", world.log.now());
    let reason = "its message was lost with queue payments, and activity-bridge has no copy of it";
    let expected = Outcome::failed(OwnFailure::Undelivered, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    assert_eq!(world.log.count(&Did::Publish), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_asked_until_publish_within_secs() {
    let world = World::with(Kind::Redis, "publish_within_secs = 60");
    let away = || StoreError::Unavailable("no answer".to_owned());
    let first = dispatch(&world).await;
    for _ in 0..5 {
        world.store.losses.then(Err(away()));
    }
    lose(&world, "payments").await;
    world.at(secs(30.0)).await;
    assert_eq!(*world.broker.published.lock(), [first, first]);
    world.reply(first, "completed", "").await;
    world.all_ended().await;

    dispatch(&world).await;
    for _ in 0..1_000 {
        world.store.losses.then(Err(away()));
    }
    let lost = world.log.now();
    lose(&world, "payments").await;
    let settled = world.log.wait_for(Did::Settle(Failed)).await;
    assert!(settled >= lost + secs(60.0), "{settled:?}");
    assert!(settled <= lost + secs(71.0), "{settled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_settled_is_left_alone() {
    let world = World::with(Kind::File, "");
    let accepted = world.source.settles.hold();
    let id = dispatch(&world).await;
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    lose(&world, "payments").await;
    accepted.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.settles(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_before_the_task_is_published_again_makes_that_needless() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    let noted = world.store.losses.hold();
    lose(&world, "payments").await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    noted.send(Ok(())).expect("it is awaited");
    world.at(secs(600.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(world.log.settles(), 1);
}

/// The confirm of the queue that was lost may be read after the loss.
#[tokio::test(start_paused = true)]
async fn a_confirm_of_a_publish_that_began_before_the_loss_does_not_count() {
    let world = World::with(Kind::File, "");
    let confirm = world.broker.publishes.hold();
    let id = world.submit(world.task()).await;
    world.log.wait_for(Did::Publish).await;
    world.settle_down().await;
    lose(&world, "payments").await;
    confirm.send(Ok(())).expect("it is awaited");
    world.at(secs(60.0)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);
    assert_eq!(world.log.count(&Did::NotedConfirm), 1);
    assert_eq!(republished(&world.route), 0, "it was not confirmed before");
}

/// The bridge may look at the queue a while after somebody has made it.
#[tokio::test(start_paused = true)]
async fn a_task_that_was_published_after_the_queue_was_missing_is_left_alone() {
    let world = World::with(Kind::File, "");
    let missing_at = Instant::now();
    world.at(secs(1.0)).await;
    dispatch(&world).await;
    world.at(secs(5.0)).await;
    let queue = "payments".to_owned();
    let made = Inbound::QueueLost {
        queue,
        missing_at,
        ready: None,
        noted: None,
    };
    world.send(made).await;
    world.at(secs(60.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 1);
}

#[tokio::test(start_paused = true)]
async fn while_lost_tasks_are_published_again_the_route_does_not_poll() {
    let mut world = World::with(Kind::File, "pollers = { min = 1, max = 1 }");
    dispatch(&world).await;
    dispatch(&world).await;
    world.poll();
    world.at(secs(2.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    for _ in 0..3 {
        let full = PublishError::Nacked("full");
        world.broker.publishes.then(Err(full));
        let full = PublishError::Nacked("full");
        world.broker.publishes.then(Err(full));
    }
    lose(&world, "payments").await;
    assert_eq!(*world.gate.borrow(), Gate::Undelivered(2));
    world.at(secs(30.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    assert_eq!(world.log.count(&Did::NotedConfirm), 4);
}

/// The next process finds an empty broker.
#[tokio::test(start_paused = true)]
async fn adopted_tasks_that_waited_in_a_lost_queue_are_published_again() {
    let world = World::before_the_start(Kind::File, "");
    let [waits, begun] = [world.task(), world.task()];
    let record = |task, begun| Record {
        begun,
        ..world.record(task, true)
    };
    let records = [record(&waits, false), record(&begun, true)];
    world.store.orphans.lock().extend(records);
    for task in [&waits, &begun] {
        world.store.open.lock().insert(task.id);
        world.store.messages.lock().insert(task.id, task.clone());
    }
    let unpublished = recovery::restore_all(&world.bridge).await;
    assert!(unpublished.is_empty());
    lose(&world, "payments").await;
    assert_eq!(*world.broker.published.lock(), [waits.id]);
    world.log.assert_order(&[Did::NotedLoss, Did::Publish]);
}

/// A process that is killed, drained or restarted in between leaves no record that says that the broker has the message.
#[tokio::test(start_paused = true)]
async fn all_losses_are_noted_before_the_queue_is_made_again_and_before_the_first_publish() {
    let world = World::with(Kind::File, "max_in_flight = 150");
    for _ in 0..150 {
        dispatch(&world).await;
    }
    let flushed = world.store.losses.hold();
    let mut noting = find_missing(&world).await;
    world.at(secs(5.0)).await;
    assert!(noting.try_recv().is_err(), "the queue is made again");
    assert_eq!(world.log.count(&Did::Publish), 150);
    flushed.send(Ok(())).expect("one call for all");
    world.settle_down().await;
    assert_eq!(noting.try_recv(), Ok(()));
    assert_eq!(world.log.count(&Did::NotedLoss), 150);
    assert_eq!(world.log.count(&Did::Publish), 300);
    assert_eq!(world.log.count(&Did::NotedConfirm), 300);
}

/// The queue may be looked at by several routes, and by a publish that finds it missing.
#[tokio::test(start_paused = true)]
async fn who_finds_a_queue_missing_while_its_loss_is_noted_does_not_make_it_again_before() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    let flushed = world.store.losses.hold();
    let mut first = find_missing(&world).await;
    let mut second = find_missing(&world).await;
    world.at(secs(5.0)).await;
    assert!(first.try_recv().is_err(), "the queue is made again");
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    flushed.send(Ok(())).expect("it is awaited");
    world.settle_down().await;
    assert_eq!((first.try_recv(), second.try_recv()), (Ok(()), Ok(())));
    world.log.assert_order(&[Did::NotedLoss, Did::Publish]);
    assert_eq!(*world.broker.published.lock(), [id, id]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_not_made_again_if_its_loss_can_not_be_noted() {
    let world = World::with(Kind::File, "publish_within_secs = 60");
    dispatch(&world).await;
    for _ in 0..999 {
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.losses.then(Err(away));
    }
    let mut missing = find_missing(&world).await;
    world.at(secs(100.0)).await;
    assert_eq!(missing.try_recv(), Err(TryRecvError::Closed));
    world.all_ended().await;
    // Now there is nothing to note.
    let mut missing = find_missing(&world).await;
    assert_eq!(missing.try_recv(), Ok(()));
}

/// Tells that the broker's client wants to make the queue again.
pub async fn find_missing(world: &World) -> oneshot::Receiver<()> {
    let (noted, noting) = oneshot::channel();
    let lost = Inbound::QueueLost {
        queue: "payments".to_owned(),
        missing_at: Instant::now(),
        ready: None,
        noted: Some(noted),
    };
    world.send(lost).await;
    world.settle_down().await;
    noting
}

/// A late note of the first confirm may have overtaken the note of the loss.
#[tokio::test(start_paused = true)]
async fn a_store_that_says_published_after_the_loss_is_told_again() {
    let world = World::with(Kind::File, "");
    let id = dispatch(&world).await;
    world.store.message_answers.then(Ok(None));
    lose(&world, "payments").await;
    world.at(secs(5.0)).await;
    assert_eq!(world.log.count(&Did::NotedLoss), 2);
    assert_eq!(*world.broker.published.lock(), [id, id]);
}

/// The worker had the message before the queue was lost.
#[tokio::test(start_paused = true)]
async fn a_task_that_a_worker_begins_meanwhile_is_neither_published_again_nor_failed_back() {
    let refused = || Err(PublishError::Nacked("full"));
    let away = || Err(StoreError::Unavailable("no answer".to_owned()));
    let refuses = |world: &World| (0..999).for_each(|_| world.broker.publishes.then(refused()));
    let is_away = |world: &World| (0..999).for_each(|_| world.store.message_answers.then(away()));
    let is_begun =
        |world: &World| (0..999).for_each(|_| world.store.message_answers.then(Ok(None)));
    let fails: [&dyn Fn(&World); 3] = [&refuses, &is_away, &is_begun];
    for fail in fails {
        let world = World::with(Kind::File, "publish_within_secs = 60");
        let id = dispatch(&world).await;
        fail(&world);
        lose(&world, "payments").await;
        world.at(secs(3.0)).await;
        world.reply(id, "started", "").await;
        world.settle_down().await;
        let published = world.log.count(&Did::Publish);
        world.at(secs(300.0)).await;
        assert_eq!(world.log.count(&Did::Publish), published);
        assert_eq!(world.log.settles(), 0);
        // The next process would publish it.
        assert!(world.store.lost.lock().is_empty(), "it is noted as lost");
        world.reply(id, "completed", "done").await;
        world.all_ended().await;
        assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
    }
}

/// Another process has read the worker's sign of life, and could not tell this one.
#[tokio::test(start_paused = true)]
async fn a_task_that_the_store_knows_to_be_begun_is_neither_published_again_nor_failed_back() {
    let world = World::with(Kind::Redis, "publish_within_secs = 60");
    let id = dispatch(&world).await;
    (0..999).for_each(|_| world.store.message_answers.then(Ok(None)));
    lose(&world, "payments").await;
    world.at(secs(300.0)).await;
    assert_eq!(*world.broker.published.lock(), [id]);
    assert_eq!(world.log.settles(), 0);
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_a_message_that_a_worker_begins_meanwhile_is_not_failed_back() {
    let world = World::new();
    let id = dispatch(&world).await;
    let read = world.store.message_answers.hold();
    lose(&world, "payments").await;
    world.reply(id, "started", "").await;
    world.settle_down().await;
    read.send(Err(StoreError::NoMessage)).expect("it is read");
    world.at(secs(100.0)).await;
    assert_eq!(world.log.settles(), 0);
    assert!(world.store.lost.lock().is_empty(), "it is noted as lost");
}

/// The next process would publish it, or fail it.
#[tokio::test(start_paused = true)]
async fn a_task_that_is_begun_or_ended_before_its_loss_is_noted_does_not_stay_lost_in_the_store() {
    for reply in ["started", "completed"] {
        let world = World::with(Kind::File, "");
        let accepted = world.source.settles.hold();
        let id = dispatch(&world).await;
        let noted = world.store.losses.hold();
        lose(&world, "payments").await;
        world.reply(id, reply, "").await;
        world.settle_down().await;
        noted.send(Ok(())).expect("it is awaited");
        world.settle_down().await;
        world.log.assert_order(&[Did::NotedLoss, Did::NotedConfirm]);
        assert!(world.store.lost.lock().is_empty(), "{reply}");
        assert_eq!(world.log.count(&Did::Publish), 1);
        drop(accepted);
    }
}

/// Otherwise the last ones are failed back before their turn.
#[tokio::test(start_paused = true)]
async fn each_of_many_lost_tasks_has_its_own_time_and_aws_is_not_asked_again() {
    let settings = "max_in_flight = 250\npublish_within_secs = 60";
    let world = World::with(Kind::File, settings);
    let learnt = Timeouts {
        heartbeat: Timeout::After(secs(77.0)),
        start_to_close: Timeout::After(secs(7_777.0)),
    };
    *world.source.learnt.lock() = Some(learnt);
    for _ in 0..250 {
        dispatch(&world).await;
    }
    let asked = world.log.count(&Did::AskForTimeouts);
    for _ in 0..250 {
        world.broker.publishes.after(secs(40.0), Ok(()));
    }
    lose(&world, "payments").await;
    world.at(secs(150.0)).await;
    assert_eq!(world.log.count(&Did::Publish), 500);
    assert_eq!(world.log.count(&Did::NotedConfirm), 500);
    assert_eq!(world.log.settles(), 0);
    assert_eq!(world.log.count(&Did::AskForTimeouts), asked);
    let confirmed = world.store.confirmed.lock();
    assert!(confirmed.iter().all(|(_, timeouts)| *timeouts == learnt));
}

/// Where only the queue of replies was lost, the tasks are still in their queue.
#[tokio::test(start_paused = true)]
async fn lost_replies_alone_are_no_reason_where_each_task_has_its_message_in_the_queue() {
    for (ready, expected) in [(3, 0), (2, 0), (1, 2)] {
        let world = World::with(Kind::File, "");
        dispatch(&world).await;
        dispatch(&world).await;
        lose_all_but(&world, "payments", Some(ready)).await;
        assert_eq!(world.log.count(&Did::Publish), 2 + expected, "{ready}");
        assert_eq!(world.log.count(&Did::NotedLoss), expected);
    }
}

/// The messages in the queue may all be those of newer tasks.
#[tokio::test(start_paused = true)]
async fn messages_of_newer_tasks_do_not_stand_for_lost_ones() {
    for (ready, expected) in [(1, 1), (2, 1), (3, 0)] {
        let world = World::with(Kind::File, "");
        let lost = dispatch(&world).await;
        world.at(secs(1.0)).await;
        let missing_at = Instant::now();
        world.at(secs(2.0)).await;
        let newer = dispatch(&world).await;
        let confirm = world.broker.publishes.hold();
        let unconfirmed = world.submit(world.task()).await;
        world.settle_down().await;
        let found = Inbound::QueueLost {
            queue: "payments".to_owned(),
            missing_at,
            ready: Some(ready),
            noted: None,
        };
        world.send(found).await;
        world.settle_down().await;
        confirm.send(Ok(())).expect("it is awaited");
        world.settle_down().await;
        let mut published = world.broker.published.lock().clone();
        let again = published.split_off(3);
        assert_eq!(published, [lost, newer, unconfirmed]);
        assert_eq!(again, vec![lost; expected], "{ready}");
    }
}
