//! Several processes on one store.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, T, World, secs},
};
use activity_bridge::{
    broker::ParkError,
    store::{Claim, Forwarded, Ownership, PeerEvent, Renewal, StoreError},
    task::{
        OutcomeKind::{Completed, Failed},
        Status, TaskId,
    },
};
use tokio::sync::oneshot::Sender;

fn news(event: PeerEvent) -> Renewal {
    Renewal {
        lapsed: false,
        events: vec![event],
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_of_another_process_s_task_is_settled_here() {
    let world = World::with(Kind::Redis, "");
    let task = world.task();
    let claim = Claim::Ours(world.record(&task, false));
    world.store.claims.then(Ok(claim));
    world.reply(task.id, "completed", "done").await;
    world.log.wait_for(Did::Removed).await;
    world.log.assert_order(&[
        Did::Claim,
        Did::ExpectReplies(1),
        Did::Accepted(Completed),
        Did::Ack(1),
        Did::Removed,
    ]);
    assert_eq!(world.log.count(&Did::Publish), 0);
    assert_eq!(world.route.slots.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_of_a_route_that_is_not_here_goes_back_after_five_seconds() {
    let world = World::with(Kind::Redis, "");
    world.store.claims.then(Ok(Claim::OtherRoute));
    world.reply(TaskId::random(), "completed", "done").await;
    let back = world.log.wait_for(Did::Requeue(1)).await;
    assert!(back - secs(5.0) <= MOMENT, "{back:?}");
    assert_eq!(world.log.count(&Did::Ack(1)), 0);
    assert_eq!((world.log.settles(), world.log.parked()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_broker_a_reply_to_a_task_of_a_route_that_is_not_here_is_parked() {
    let world = World::forgetful(Kind::Redis, "");
    world.store.claims.then(Ok(Claim::OtherRoute));
    world.reply(TaskId::random(), "completed", "done").await;
    world.log.wait_for(Did::Ack(1)).await;
    let requeued = world.log.count(&Did::Requeue(1));
    assert_eq!((requeued, world.log.parked()), (0, 1));
}

/// No other process can read it either.
#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_whose_record_can_not_be_read_is_parked() {
    for world in [
        World::with(Kind::Redis, ""),
        World::forgetful(Kind::Redis, ""),
    ] {
        world.store.claims.then(Ok(Claim::Unreadable));
        world.reply(TaskId::random(), "completed", "done").await;
        world.log.wait_for(Did::Ack(1)).await;
        let requeued = world.log.count(&Did::Requeue(1));
        assert_eq!((requeued, world.log.parked()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_ended_elsewhere_is_acknowledged_and_goes_nowhere() {
    let world = World::with(Kind::Redis, "");
    world.store.claims.then(Ok(Claim::Ended));
    let id = TaskId::random();
    world.reply(id, "completed", "done").await;
    world.log.wait_for(Did::Ack(1)).await;
    world.reply(id, "completed", "done").await;
    world.log.wait_for(Did::Ack(2)).await;
    assert_eq!(world.log.count(&Did::Claim), 1, "it is remembered");
    assert_eq!((world.log.settles(), world.log.parked()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_no_process_knows_is_parked() {
    let world = World::with(Kind::Redis, "");
    world.store.claims.then(Ok(Claim::Unknown));
    world.reply(TaskId::random(), "completed", "done").await;
    world.log.wait_for(Did::Ack(1)).await;
    assert_eq!((world.log.settles(), world.log.parked()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_is_forwarded_to_the_owner_of_the_task_and_answered_here() {
    let world = World::with(Kind::Redis, "");
    let to = Forwarded::To(Status::CancelRequested);
    world.store.forwards.then(Ok(to));
    world.ask(TaskId::random(), "heartbeat").await;
    world.log.wait_for(Did::Ack(1)).await;
    world.log.assert_order(&[
        Did::Forward(String::new()),
        Did::Answer(Status::CancelRequested),
        Did::Ack(1),
    ]);
    assert_eq!(world.log.count(&Did::Claim), 0);
    assert_eq!(world.log.beats().len(), 0, "its owner tells AWS");
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_for_a_task_whose_owner_is_dead_brings_the_task_here() {
    let world = World::with(Kind::Redis, "");
    let task = world.task();
    let claim = Claim::Ours(world.record(&task, false));
    world.store.forwards.then(Ok(Forwarded::Orphan));
    world.store.claims.then(Ok(claim));
    world.reply(task.id, "heartbeat", "half").await;
    world.log.wait_for(Did::Beat("half".to_owned())).await;
    assert_eq!(world.bridge.inflight.ids(), [task.id]);
    let unpublished = world.bridge.inflight.awaits_publish(task.id);
    assert!(!unpublished, "a worker has its message");
    let withdrawn = world.log.count(&Did::Withdraw(task.id));
    assert_eq!(withdrawn, 1, "its worker's next reply casts no doubt");
}

#[tokio::test(start_paused = true)]
async fn a_reply_waits_unacknowledged_until_the_store_says_whose_the_task_is() {
    let world = World::with(Kind::Redis, "");
    for _ in 0..5 {
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.claims.then(Err(away));
    }
    let task = world.task();
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.then(Ok(claim));
    world.reply(task.id, "completed", "done").await;
    world.log.wait_for(Did::Removed).await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 0));
    world
        .log
        .assert_order(&[Did::Accepted(Completed), Did::Ack(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_process_took_is_let_go() {
    let world = World::with(Kind::Redis, "");
    let id = world.dispatch().await;
    world.store.renewals.then(Ok(news(PeerEvent::Taken(id))));
    world.at(secs(100.0)).await;
    assert_eq!(world.log.beats().len(), 0);
    assert_eq!(world.log.count(&Did::Removed), 0, "the record is not ours");
    assert_eq!(world.route.slots.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_process_took_while_its_outcome_is_on_the_way_is_settled_here() {
    let world = World::with(Kind::Redis, "");
    let accept = world.source.settles.hold();
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    world.store.renewals.then(Ok(news(PeerEvent::Taken(id))));
    world.at(secs(1.0)).await;
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    world
        .log
        .assert_order(&[Did::Accepted(Completed), Did::Ack(1)]);
}

/// A reply that can't be used is on its way into the parking queue when another process takes its task. Returns the task, and the
/// answer of the parking queue.
async fn taken_while_parking(world: &World) -> (TaskId, Sender<Result<(), ParkError>>) {
    let parked = world.broker.parks.hold();
    let id = world.dispatch().await;
    world.reply(id, "finished", "?").await;
    world.store.renewals.then(Ok(news(PeerEvent::Taken(id))));
    world.at(secs(1.0)).await;
    assert!(world.bridge.inflight.is_empty(), "another process has it");
    (id, parked)
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_task_was_released_while_it_was_parked_ends_the_task_before_it_is_acknowledged()
 {
    let world = World::with(Kind::Redis, "");
    let (id, parked) = taken_while_parking(&world).await;
    let away = StoreError::Unavailable("no answer".to_owned());
    world.store.claims.then(Err(away));
    let mut record = world.record(&world.task(), true);
    record.id = id;
    world.store.claims.then(Ok(Claim::Ours(record)));
    parked.send(Ok(())).expect("it is awaited");
    world.log.wait_for(Did::Removed).await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 1));
    world.log.assert_order(&[
        Did::Claim,
        Did::Claim,
        Did::Accepted(Failed),
        Did::Ack(1),
        Did::Removed,
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_task_was_released_while_it_was_parked_and_has_ended_is_late() {
    for claim in [Claim::Ended, Claim::Unknown] {
        let world = World::with(Kind::Redis, "");
        let (_, parked) = taken_while_parking(&world).await;
        world.store.claims.then(Ok(claim));
        parked.send(Ok(())).expect("it is awaited");
        world.log.wait_for(Did::Ack(1)).await;
        world.log.assert_order(&[Did::Claim, Did::Ack(1)]);
        assert_eq!(world.log.settles(), 0);
    }
}

/// A newer version has taken it, for one.
#[tokio::test(start_paused = true)]
async fn a_reply_whose_task_was_released_and_can_not_be_claimed_comes_again() {
    for claim in [Claim::OtherRoute, Claim::Unreadable] {
        let world = World::with(Kind::Redis, "");
        let (_, parked) = taken_while_parking(&world).await;
        world.store.claims.then(Ok(claim));
        parked.send(Ok(())).expect("it is awaited");
        world.log.wait_for(Did::Requeue(1)).await;
        assert_eq!((world.log.settles(), world.log.count(&Did::Ack(1))), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_another_process_heard_is_passed_on_to_aws() {
    let world = World::with(Kind::Redis, "");
    let id = world.dispatch().await;
    let details = "half".to_owned();
    let sign = PeerEvent::Sign { id, details };
    world.store.renewals.then(Ok(news(sign)));
    let at = world.log.wait_for(Did::Beat("half".to_owned())).await;
    assert!(at <= secs(0.2) + MOMENT, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_lapse_only_the_tasks_that_are_still_ours_are_kept() {
    for (owner, kept) in [
        (Ownership::Ours, 1),
        (Ownership::Theirs, 0),
        (Ownership::Ended, 0),
    ] {
        let world = World::with(Kind::Redis, "");
        world.dispatch().await;
        let lapsed = Renewal {
            lapsed: true,
            events: Vec::new(),
        };
        world.store.ownerships.then(Ok(owner));
        world.store.renewals.then(Ok(lapsed));
        world.at(secs(1.0)).await;
        assert_eq!(world.bridge.inflight.len(), kept, "{owner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_dead_process_are_adopted_as_soon_as_the_store_hands_them_out() {
    let world = World::with(Kind::Redis, "");
    world.at(secs(5.1)).await;
    let mut unconfirmed = Vec::new();
    for number in 0..20 {
        let task = world.task();
        let published = number % 2 == 0;
        let orphan = world.record(&task, published);
        world.store.orphans.lock().push_back(orphan);
        if !published {
            unconfirmed.push(task.id);
            world.store.messages.lock().insert(task.id, task);
        }
    }
    world.at(secs(5.4)).await;
    assert_eq!(world.bridge.inflight.len(), 20);
    world.at(secs(6.4)).await;
    assert_eq!(
        world.log.beats().len(),
        20,
        "each was heartbeated within a second"
    );
    world.at(secs(14.0)).await;
    let mut published = world.broker.published.lock().clone();
    published.sort();
    unconfirmed.sort();
    assert_eq!(published, unconfirmed, "each once, and no other");
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_worker_that_others_may_hear_is_presumed_alive() {
    let world = World::with(Kind::Redis, "");
    let id = world.dispatch().await;
    world.source.time_out_after(T);
    world.reply(id, "started", "").await;
    world.at(secs(5.0)).await;
    // Each is asked for after a fifth of a second.
    for _ in 0..600 {
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.renewals.then(Err(away));
    }
    world.at(secs(120.0)).await;
    assert_eq!(world.bridge.inflight.ids(), [id]);
    world.at(secs(200.0)).await;
    assert!(
        world.bridge.inflight.is_empty(),
        "the store is back, and the worker is dead"
    );
}

/// Nobody can say whether there is such a task, and the bridge answers for no unknown id. The worker's next heartbeat asks again.
#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_sign_of_life_of_another_process_s_task_is_not_answered() {
    let world = World::with(Kind::Redis, "");
    *world.store.unavailable.lock() = Some("no answer".to_owned());
    let away = StoreError::Unavailable("no answer".to_owned());
    world.store.forwards.then(Err(away));
    world.ask(TaskId::random(), "heartbeat").await;
    world.log.wait_for(Did::Ack(1)).await;
    world.at(secs(60.0)).await;
    let answers = world.log.times(|did| matches!(did, Did::Answer(_)));
    assert_eq!((answers.len(), world.log.parked()), (0, 0));
}
