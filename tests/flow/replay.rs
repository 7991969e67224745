//! A person replays parked replies.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::{Delivery, Durability, Inbound, names::PARKED_QUEUES},
    settle::{
        parked::{self, Which},
        replay::ParkedResult as R,
    },
    source::SourceError,
    store::{Claim, Note, StoreError},
    task::{
        DeadLetter, Death, HeaderValue, Outcome, OutcomeKind::Completed, OutcomeKind::Failed, Task,
        TaskId, Timeout,
    },
};
use futures_util::poll;
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

/// What became of each parked message, the oldest first.
async fn replayed(world: &World) -> Vec<R> {
    let results = parked::replay(&world.bridge, &Which::All(None)).await;
    let messages = results.expect("readable").messages;
    messages.into_iter().map(|one| one.result).collect()
}

/// The id of a task whose reply has come before it, and was parked therefore.
async fn parked_early(world: &World, kind: &str) -> TaskId {
    let task = world.task();
    let id = task.id;
    let number = world.reply(id, kind, "4711").await;
    world.log.wait_for(Did::Ack(number)).await;
    assert_eq!(world.broker.parked.number(), 1);
    world.submit(task).await;
    world.settle_down().await;
    id
}

/// What became of the only parked message, and why.
async fn one_replayed(world: &World) -> (R, String) {
    let results = parked::replay(&world.bridge, &Which::All(None)).await;
    let mut messages = results.expect("readable").messages;
    let one = messages.pop().expect("one is parked");
    assert!(messages.is_empty());
    (one.result, one.why.unwrap_or_default())
}

/// A parked reply to a task of another process.
async fn parked_elsewhere(world: &World) -> Task {
    let task = world.task();
    let number = world.reply(task.id, "completed", "4711").await;
    world.log.wait_for(Did::Ack(number)).await;
    assert_eq!(world.broker.parked.number(), 1);
    task
}

fn both() -> [World; 2] {
    [Durability::Durable, Durability::Process].map(World::with_broker)
}

#[tokio::test(start_paused = true)]
async fn a_replayed_reply_stays_parked_until_aws_has_it_and_then_it_is_deleted() {
    for world in both() {
        parked_early(&world, "completed").await;
        let accepted = world.source.settles.hold();
        let mut replaying = pin!(replayed(&world));
        assert!(poll!(&mut replaying).is_pending());
        world.settle_down().await;
        // If the bridge dies here, the reply is there.
        assert!(poll!(&mut replaying).is_pending());
        assert_eq!(world.broker.parked.number(), 1);
        accepted.send(Ok(())).expect("it is awaited");
        assert_eq!(replaying.await, [R::Replayed]);
        world.log.assert_order(&[
            Did::Settle(Completed),
            Did::Accepted(Completed),
            Did::Unpark,
        ]);
        let result = "4711".to_owned();
        let outcomes = world.source.outcomes.lock().clone();
        assert_eq!(outcomes, [Outcome::Completed { result }]);
        assert!(replayed(&world).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn while_aws_is_away_a_replay_is_given_up_for_now_and_the_reply_stays_parked() {
    for world in both() {
        parked_early(&world, "completed").await;
        for _ in 0..100 {
            let away = SourceError::Unavailable("no answer".to_owned());
            world.source.settles.then(Err(away));
        }
        assert_eq!(replayed(&world).await, [R::Waiting]);
        assert_eq!(replayed(&world).await, [R::Settling], "it goes on");
        world.source.settles.clear();
        world.all_ended().await;
        assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
        assert_eq!(replayed(&world).await, [R::Ended]);
        assert_eq!(world.broker.parked.number(), 1);
    }
}

/// The one that dies is the process that had the task.
#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_whose_owner_dies_meanwhile_is_settled_here_and_not_before_it_is_claimed()
{
    let world = World::with(Kind::Redis, "");
    let task = world.task();
    world.reply(task.id, "completed", "4711").await;
    world.log.wait_for(Did::Ack(1)).await;
    assert_eq!(world.log.parked(), 1, "nobody knew it");
    let away = || StoreError::Unavailable("no answer".to_owned());
    world.store.claims.after(secs(3.0), Err(away()));
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.after(secs(3.0), Ok(claim));
    assert_eq!(replayed(&world).await, [R::Replayed]);
    let order = [
        Did::Claim,
        Did::Claim,
        Did::Accepted(Completed),
        Did::Unpark,
    ];
    world.log.assert_order(&order);
    assert_eq!(world.broker.parked.number(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_no_process_knows_or_of_another_route_stays_parked_once() {
    let world = World::with(Kind::Redis, "");
    world.reply(TaskId::random(), "completed", "4711").await;
    world.log.wait_for(Did::Ack(1)).await;
    world.store.claims.then(Ok(Claim::OtherRoute));
    assert_eq!(replayed(&world).await, [R::Unknown]);
    assert_eq!(replayed(&world).await, [R::Unusable], "unknown again");
    assert_eq!((world.log.parked(), world.log.count(&Did::Unpark)), (1, 0));
    assert_eq!(world.log.settles(), 0);

    let alone = World::with(Kind::File, "");
    alone.reply(TaskId::random(), "completed", "4711").await;
    alone.log.wait_for(Did::Ack(1)).await;
    assert_eq!(replayed(&alone).await, [R::Unknown]);
    assert_eq!((alone.log.parked(), alone.broker.parked.number()), (1, 1));
}

/// Otherwise a person would lend the user the bridge's own rights.
#[tokio::test(start_paused = true)]
async fn a_replayed_reply_settles_no_task_that_its_publisher_might_not_settle() {
    let world = World::forgetful(Kind::File, "");
    let id = world.deliver().await;
    world.reply_of("refunds", id, "completed").await;
    world.log.wait_for(Did::Requeue(1)).await;
    assert_eq!(replayed(&world).await, [R::Unusable]);
    assert_eq!((world.log.settles(), world.log.parked()), (0, 1));
    assert_eq!(world.broker.parked.number(), 1);
    world.reply_of("payments", id, "completed").await;
    world.all_ended().await;

    // It came before its task was known here.
    let task = world.task();
    let number = world.reply_of("refunds", task.id, "completed").await;
    world.log.wait_for(Did::Ack(number)).await;
    world.submit(task).await;
    world.settle_down().await;
    assert_eq!(replayed(&world).await, [R::Ended, R::Unusable]);
    assert_eq!(world.log.settles(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_writes_in_the_headers_of_the_bridge_gives_it_no_rights() {
    let world = World::forgetful(Kind::File, "");
    let id = world.deliver().await;
    let forged = HeaderValue::Text("[\"payments\"]".to_owned());
    let refunds = Arc::new(BTreeSet::from(["refunds".into()]));
    let forge = |reply: &mut Delivery| {
        reply.queues = Some(refunds);
        reply.headers.push((PARKED_QUEUES.to_owned(), forged));
    };
    world.reply_with(id, "completed", forge).await;
    world.log.wait_for(Did::Requeue(1)).await;
    // The bridge's own comes first, and counts.
    assert_eq!(replayed(&world).await, [R::Unusable]);
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_still_can_not_be_used_fails_its_task_as_a_new_one_and_is_parked_once() {
    let world = World::with(Kind::File, "");
    let id = parked_early(&world, "finished").await;
    let results = parked::replay(&world.bridge, &Which::All(None)).await;
    let results = results.expect("readable");
    let [one] = &results.messages[..] else {
        panic!("{results:?}");
    };
    assert_eq!(one.result, R::Unusable);
    assert!(
        one.why
            .as_ref()
            .is_some_and(|why| why.contains("\"finished\"")),
        "{one:?}"
    );
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Failed)), 1);
    assert_eq!((world.log.parked(), world.broker.parked.number()), (1, 1));
    assert!(!world.bridge.inflight.ids().contains(&id));
}

/// As a reply it would complete its task, with the input as the result.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_and_an_outcome_are_never_replayed() {
    let world = World::with(Kind::File, "");
    let task = world.task();
    let id = task.id;
    let dead = DeadLetter {
        death: Death::Rejected,
        queue: "payments".to_owned(),
    };
    world
        .send(Inbound::DeadLetter(dead, Delivery::about(id)))
        .await;
    world.settle_down().await;
    world.submit(task).await;
    world.settle_down().await;
    assert_eq!(replayed(&world).await, [R::NoReply]);
    assert_eq!(world.log.settles(), 0);

    let refused = SourceError::Invalid("too long".to_owned());
    world.source.settles.then(Err(refused));
    world.reply(id, "completed", "4711").await;
    world.all_ended().await;
    assert_eq!(replayed(&world).await, [R::NoReply, R::NoReply]);
    assert_eq!(world.broker.parked.number(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_task_is_being_settled_is_left_alone() {
    let world = World::with(Kind::File, "");
    let id = parked_early(&world, "completed").await;
    let accepted = world.source.settles.hold();
    world.reply(id, "failed", "no money").await;
    world.settle_down().await;
    assert_eq!(replayed(&world).await, [R::Settling]);
    accepted.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.settles(), 1);
    assert_eq!(world.log.count(&Did::Unpark), 0);
}

/// Where the broker keeps the worker's own reply, that one counts from then on.
#[tokio::test(start_paused = true)]
async fn a_worker_that_replies_during_a_replay_takes_nothing_from_what_is_parked() {
    let world = World::with(Kind::File, "");
    let id = parked_early(&world, "completed").await;
    let accepted = world.source.settles.hold();
    let mut replaying = pin!(replayed(&world));
    assert!(poll!(&mut replaying).is_pending());
    world.reply(id, "completed", "of the worker").await;
    assert_eq!(replaying.await, [R::Settling]);
    assert_eq!(world.broker.parked.number(), 1);
    accepted.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    let result = "4711".to_owned();
    assert_eq!(
        *world.source.outcomes.lock(),
        [Outcome::Completed { result }]
    );
}

/// The only copy of it would be lost.
#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_has_ended_in_another_process_stays_parked() {
    let world = World::with(Kind::Redis, "");
    parked_elsewhere(&world).await;
    world.store.claims.then(Ok(Claim::Ended));
    assert_eq!(replayed(&world).await, [R::Ended]);
    assert_eq!(replayed(&world).await, [R::Ended], "it is known now");
    assert_eq!(world.log.count(&Did::Unpark), 0);
    assert_eq!(world.broker.parked.number(), 1);
}

/// Its process may be settling another reply, which only RabbitMQ keeps.
#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_of_a_process_that_may_be_alive_is_left_alone() {
    let world = World::with(Kind::Redis, "");
    parked_elsewhere(&world).await;
    let claims = world.log.count(&Did::Claim);
    world.store.elsewhere.then(Ok(true));
    assert_eq!(replayed(&world).await, [R::Elsewhere]);
    let away = StoreError::Unavailable("no answer".to_owned());
    world.store.elsewhere.then(Err(away));
    assert_eq!(replayed(&world).await, [R::Waiting]);
    assert_eq!(world.log.count(&Did::Claim), claims);
    assert_eq!(world.broker.parked.number(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_nobody_waits_for_any_more_claims_nothing() {
    let world = World::with(Kind::Redis, "");
    let task = parked_elsewhere(&world).await;
    for _ in 0..100 {
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.claims.then(Err(away));
    }
    assert_eq!(replayed(&world).await, [R::Waiting]);
    world.at(secs(20.0)).await;
    world.store.claims.clear();
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.then(Ok(claim));
    world.at(secs(60.0)).await;
    assert_eq!(world.log.settles(), 0);
    assert!(world.bridge.inflight.is_empty());
}

/// RabbitMQ keeps that reply until AWS has its outcome, and nobody else does.
#[tokio::test(start_paused = true)]
async fn a_replay_never_takes_the_place_of_a_reply_that_is_being_settled() {
    let world = World::with(Kind::Redis, "");
    let task = parked_elsewhere(&world).await;
    let slow = world.store.claims.hold();
    let mut replaying = pin!(replayed(&world));
    assert!(poll!(&mut replaying).is_pending());
    world.settle_down().await;
    assert!(poll!(&mut replaying).is_pending());
    let accepted = world.source.settles.hold();
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.then(Ok(claim));
    let number = world.reply(task.id, "completed", "of the worker").await;
    world.log.wait_for(Did::Settle(Completed)).await;
    let claim = Claim::Ours(world.record(&task, true));
    slow.send(Ok(claim)).expect("it is awaited");
    assert_eq!(replaying.await, [R::Settling]);
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Ack(number)), 0, "RabbitMQ keeps it");
    accepted.send(Ok(())).expect("it is awaited");
    let order = [Did::Accepted(Completed), Did::Ack(number)];
    world.log.wait_for(Did::Ack(number)).await;
    world.log.assert_order(&order);
    assert_eq!(world.log.count(&Did::Unpark), 0);
    assert_eq!(world.broker.parked.number(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_aws_does_not_take_stays_parked_once_with_the_reason() {
    for world in both() {
        parked_early(&world, "completed").await;
        let refused = SourceError::Invalid("a bad word".to_owned());
        world.source.settles.then(Err(refused));
        let (result, why) = one_replayed(&world).await;
        assert_eq!(result, R::Refused);
        assert!(why.contains("a bad word"), "{why}");
        world.all_ended().await;
        assert_eq!(world.log.count(&Did::Accepted(Failed)), 1);
        assert_eq!((world.log.parked(), world.broker.parked.number()), (1, 1));
    }
    for world in both() {
        let mut task = world.task();
        task.timeouts.start_to_close = Timeout::After(secs(60.0));
        task.polled_at = SystemTime::now() - secs(61.0);
        let number = world.reply(task.id, "completed", "4711").await;
        world.log.wait_for(Did::Ack(number)).await;
        world.submit(task).await;
        world.settle_down().await;
        let away = SourceError::Unavailable("no answer".to_owned());
        world.source.settles.then(Err(away));
        let (result, why) = one_replayed(&world).await;
        assert_eq!((result, &*why), (R::Refused, "the task's deadline passed"));
        assert_eq!((world.log.parked(), world.broker.parked.number()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_aws_has_closed_is_deleted_by_its_replay() {
    for world in both() {
        parked_early(&world, "completed").await;
        let closed = SourceError::Gone("it has timed out".to_owned());
        world.source.settles.then(Err(closed));
        assert_eq!(replayed(&world).await, [R::Replayed]);
        assert_eq!(world.broker.parked.number(), 0);
    }
}

/// The worker that sent it may have died long ago.
#[tokio::test(start_paused = true)]
async fn a_parked_sign_of_life_keeps_no_task_alive() {
    for kind in ["started", "heartbeat"] {
        let world = World::with(Kind::File, "");
        let id = parked_early(&world, kind).await;
        assert_eq!(replayed(&world).await, [R::Sign]);
        world.settle_down().await;
        let notes = world.store.notes.lock().clone();
        assert!(!notes.contains(&(id, Note::Begun)), "{notes:?}");
        assert_eq!(world.log.count(&Did::Beat("4711".to_owned())), 0);
        assert_eq!(world.broker.parked.number(), 1);
    }
    // With the result that is too long its worker has ended.
    let world = World::with(Kind::File, "oversize_result = \"park\"");
    let id = parked_early(&world, "completed").await;
    world.source.too_long.store(true, Relaxed);
    assert_eq!(replayed(&world).await, [R::Unusable]);
    world.settle_down().await;
    assert!(!world.store.notes.lock().contains(&(id, Note::Begun)));
    assert_eq!((world.log.settles(), world.broker.parked.number()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_ended_early_says_so_and_does_not_say_that_nothing_is_there() {
    let world = World::with(Kind::File, "");
    for kind in ["completed", "failed"] {
        let number = world.reply(TaskId::random(), kind, kind).await;
        world.log.wait_for(Did::Ack(number)).await;
    }
    let bridge = &world.bridge;
    let all = parked::list(bridge, 9, None).await.expect("readable");
    assert!(!all.ended_early);
    let first = parked::list(bridge, 1, None).await.expect("readable");
    assert!(!first.ended_early, "no more was asked for");
    let second = &all.messages[1].id;
    let unknown = "0".repeat(12);
    assert!(matches!(parked::find(bridge, &unknown).await, Ok(None)));

    world.broker.parked.most_told.store(1, Relaxed);
    let some = parked::list(bridge, 9, None).await.expect("readable");
    assert_eq!(
        (some.messages.len(), some.parked, some.ended_early),
        (1, 2, true)
    );
    let one = Which::One(second.clone());
    for said in [
        parked::find(bridge, second).await.map(drop),
        parked::replay(bridge, &one).await.map(drop),
        parked::delete(bridge, &one).await.map(drop),
    ] {
        assert!(said.is_err_and(|why| why.contains("ended early")));
    }
    let dropped = parked::delete(bridge, &Which::All(None))
        .await
        .expect("readable");
    assert_eq!((dropped.messages.len(), dropped.unread), (1, 1));
    assert!(dropped.ended_early);
}

#[tokio::test(start_paused = true)]
async fn one_message_is_named_by_its_id_and_many_by_a_text_in_their_reasons() {
    let world = World::with(Kind::File, "");
    for kind in ["completed", "failed"] {
        let number = world.reply(TaskId::random(), kind, kind).await;
        world.log.wait_for(Did::Ack(number)).await;
    }
    let listed = parked::list(&world.bridge, 1, None)
        .await
        .expect("readable");
    assert_eq!((listed.parked, listed.messages.len()), (2, 1));
    let first = &listed.messages[0];
    assert_eq!((first.begins.as_str(), first.size), ("completed", 9));
    assert_eq!(first.age_secs, Some(0));
    let none = parked::list(&world.bridge, 9, Some("another reason")).await;
    assert!(none.expect("readable").messages.is_empty());
    let found = parked::find(&world.bridge, &first.id)
        .await
        .expect("readable");
    assert_eq!(found.expect("it is there").body, b"completed");
    let nothing = Which::One("0".repeat(12));
    let dropped = parked::delete(&world.bridge, &nothing)
        .await
        .expect("readable");
    assert!(dropped.messages.is_empty());
    let one = Which::One(first.id.clone());
    let dropped = parked::delete(&world.bridge, &one).await.expect("readable");
    assert_eq!(dropped.messages[0].result, R::Dropped);
    assert_eq!((dropped.unread, world.broker.parked.number()), (0, 1));
    let no_task = Which::All(Some("no task of this bridge".to_owned()));
    let dropped = parked::delete(&world.bridge, &no_task)
        .await
        .expect("readable");
    assert_eq!((dropped.messages.len(), dropped.unread), (1, 0));
    assert_eq!(world.broker.parked.number(), 0);
}
