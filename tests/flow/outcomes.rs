//! Outcomes that AWS has not taken, with a broker that keeps no messages.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, MOMENT, World, secs},
};
use activity_bridge::{
    broker::{Durability, Inbound},
    intake::recovery,
    source::SourceError,
    store::{Claim, Record, StoreError},
    task::{
        Outcome,
        OutcomeKind::{Completed, Failed},
        OwnFailure, TaskId,
    },
};

const ONE: &str = "pollers = { min = 1, max = 1 }";

/// The grace period is 90 s, of which the last 10 s are kept for failing back.
const FLUSH_FROM: f64 = 80.0;

fn unavailable() -> SourceError {
    SourceError::Unavailable("503".to_owned())
}

fn done() -> Outcome {
    let result = "done".to_owned();
    Outcome::Completed { result }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_aws_takes_at_once_is_never_written() {
    let world = World::forgetful(Kind::File, "");
    let accept = world.source.settles.hold();
    let id = world.deliver().await;
    world.reply(id, "completed", "done").await;
    world.at(secs(0.9)).await;
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::KeptOutcome), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_takes_long_is_kept_once_and_removed_when_aws_has_it() {
    let world = World::forgetful(Kind::File, "");
    for _ in 0..2 {
        let away = StoreError::Unavailable("disk".to_owned());
        world.store.keeps.then(Err(away));
    }
    for _ in 0..20 {
        world.source.settles.then(Err(unavailable()));
    }
    let id = world.deliver().await;
    world.reply(id, "completed", "done").await;
    let kept = world.log.wait_for(Did::KeptOutcome).await;
    assert!(kept >= secs(1.0) && kept <= secs(3.0), "{kept:?}");
    assert_eq!(world.store.kept.lock().get(&id), Some(&done()));
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::KeptOutcome), 1);
    let order = [
        Did::KeptOutcome,
        Did::Accepted(Completed),
        Did::Ack(1),
        Did::Removed,
    ];
    world.log.assert_order(&order);
}

/// The reply stays in its queue there.
#[tokio::test(start_paused = true)]
async fn with_a_durable_broker_no_outcome_is_kept() {
    let mut world = World::with(Kind::File, ONE);
    let _never = world.source.settles.hold();
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    assert!(world.shutdown().run().await);
    assert_eq!(world.log.count(&Did::KeptOutcome), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_comes_just_before_the_end_of_a_drain_is_kept_before_the_store_is_closed() {
    for at in [FLUSH_FROM - 0.5, FLUSH_FROM + 9.5] {
        let mut world = World::forgetful(Kind::File, ONE);
        let _never = [(); 2].map(|()| world.source.settles.hold());
        let id = world.deliver().await;
        // What no store has keeps the flush from ending early.
        let _unrecorded = world.store.inserts.hold();
        world.submit(world.task()).await;
        let drain = tokio::spawn(world.shutdown().run());
        world.at(secs(at)).await;
        world.reply(id, "completed", "done").await;
        drain.await.expect("no panic");
        assert_eq!(world.store.kept.lock().get(&id), Some(&done()), "{at}");
        let order = [Did::KeptOutcome, Did::CloseBroker(true), Did::CloseStore];
        world.log.assert_order(&order);
        assert_eq!(world.log.count(&Did::KeptOutcome), 1, "{at}");
    }
}

/// A bridge before its start, with a kept outcome in its store.
fn restarted(durability: Durability) -> (World, TaskId) {
    let world = World::before_the_start_with(Kind::File, "", durability);
    let task = world.task();
    world
        .store
        .orphans
        .lock()
        .push_back(with_outcome(&world, task.id));
    world.store.kept.lock().insert(task.id, done());
    (world, task.id)
}

fn with_outcome(world: &World, id: TaskId) -> Record {
    Record {
        id,
        durable: false,
        has_outcome: true,
        ..world.record(&world.task(), true)
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_outcome_is_settled_at_the_start_and_its_task_is_not_published() {
    for durability in [Durability::Process, Durability::Durable] {
        let (world, _) = restarted(durability);
        let unpublished = recovery::restore_all(&world.bridge).await;
        assert!(unpublished.is_empty());
        world.all_ended().await;
        assert!(world.log.now() <= MOMENT);
        assert_eq!(*world.source.outcomes.lock(), [done()]);
        assert_eq!(world.log.count(&Did::Publish), 0);
        let order = [Did::Accepted(Completed), Did::Removed];
        world.log.assert_order(&order);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_with_a_kept_outcome_is_kept_alive_and_other_replies_to_it_are_late() {
    let (world, id) = restarted(Durability::Process);
    for _ in 0..5 {
        let away = StoreError::Unavailable("disk".to_owned());
        world.store.kept_answers.then(Err(away));
        world.source.settles.then(Err(unavailable()));
    }
    let accept = world.source.settles.hold();
    recovery::restore_all(&world.bridge).await;
    world.run_heartbeats();
    world.reply(id, "failed", "second").await;
    world.send(Inbound::Acknowledged(id)).await;
    world.at(10 * INTERVAL).await;
    assert!(world.log.beats().len() >= 8, "{:?}", world.log.beats());
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
    assert_eq!(world.log.count(&Did::Settle(Failed)), 0);
    assert_eq!(world.log.count(&Did::KeptOutcome), 0, "it is kept already");
    world.log.assert_order(&[Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_kept_outcome_is_lost_is_failed() {
    let (world, id) = restarted(Durability::Process);
    world.store.kept.lock().remove(&id);
    recovery::restore_all(&world.bridge).await;
    world.all_ended().await;
    let reason = "activity-bridge was shut down before AWS took the outcome, and the token store has lost it";
    let expected = Outcome::failed(OwnFailure::ShutDown, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_claims_a_task_with_a_kept_outcome_has_the_kept_one_settled() {
    let world = World::forgetful(Kind::Redis, "");
    let id = TaskId::random();
    let record = with_outcome(&world, id);
    world.store.kept.lock().insert(id, done());
    world.store.claims.then(Ok(Claim::Ours(record)));
    world.reply(id, "failed", "second").await;
    world.log.wait_for(Did::Removed).await;
    assert_eq!(*world.source.outcomes.lock(), [done()]);
    assert_eq!(world.log.count(&Did::Ack(1)), 1);
}
