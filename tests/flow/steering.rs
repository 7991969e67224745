//! A person fails a task, and pauses a route.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    broker::{Announcement, Durability},
    intake::{
        gate::Gate,
        release::{ReleaseResult as R, Remedy, release},
    },
    source::SourceError,
    task::{Outcome, OutcomeKind::Completed, OutcomeKind::Failed, OwnFailure, Status, TaskId},
};
use futures_util::poll;
use std::pin::pin;

const ONE: &str = "pollers = { min = 1, max = 1 }";

async fn fail(world: &World, id: TaskId) -> R {
    let tasks = world.bridge.inflight.list();
    let task: Vec<_> = tasks.into_iter().filter(|task| task.id == id).collect();
    let remedy = Remedy::End("wrong customer".to_owned());
    let mut results = release(&world.bridge, &task, &remedy).await;
    results.remove(0)
}

fn failure() -> Outcome {
    Outcome::failed(OwnFailure::FailedByOperator, "wrong customer")
}

/// A task that a worker has begun.
async fn begun(world: &World) -> TaskId {
    let id = world.submit(world.task()).await;
    world.settle_down().await;
    world.reply(id, "started", "").await;
    world.settle_down().await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_task_is_failed_whether_a_worker_has_begun_it_or_not_and_the_worker_is_told_afterwards() {
    for durability in [Durability::Durable, Durability::Process] {
        let world = World::with_broker(durability);
        let waits = world.submit(world.task()).await;
        world.settle_down().await;
        let begun = begun(&world).await;
        for (number, id) in [waits, begun].into_iter().enumerate() {
            assert_eq!(fail(&world, id).await, R::Failed);
            world.settle_down().await;
            let told = Did::Announce(Announcement::Gone);
            assert_eq!(world.log.count(&told), number + 1);
            world
                .log
                .assert_order(&[Did::Withdraw(id), Did::Accepted(Failed), told]);
        }
        assert_eq!(*world.source.outcomes.lock(), [failure(), failure()]);
        let late = world.reply(begun, "completed", "done").await;
        world.log.wait_for(Did::Ack(late)).await;
        assert_eq!(world.log.settles(), 2);
        assert_eq!(world.bridge.metrics.late_replies.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_reply_is_being_settled_is_not_failed() {
    let world = World::with(Kind::File, "");
    let id = begun(&world).await;
    let accepted = world.source.settles.hold();
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    assert_eq!(fail(&world, id).await, R::Settling);
    accepted.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    world.settle_down().await;
    let result = "done".to_owned();
    assert_eq!(
        *world.source.outcomes.lock(),
        [Outcome::Completed { result }]
    );
    assert_eq!(world.log.count(&Did::Announce(Announcement::Gone)), 0);
}

/// The first outcome counts, and the worker hears on asking.
#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_while_a_failure_is_on_its_way_is_held_until_aws_has_the_failure() {
    let world = World::with(Kind::File, "");
    let id = begun(&world).await;
    let accepted = world.source.settles.hold();
    let mut failing = pin!(fail(&world, id));
    assert!(poll!(&mut failing).is_pending());
    world.settle_down().await;
    let reply = world.reply(id, "completed", "done").await;
    world.ask(id, "heartbeat").await;
    world.log.wait_for(Did::Answer(Status::Gone)).await;
    assert_eq!(world.log.count(&Did::Ack(reply)), 0);
    accepted.send(Ok(())).expect("it is awaited");
    assert_eq!(failing.await, R::Failed);
    world.log.wait_for(Did::Ack(reply)).await;
    world
        .log
        .assert_order(&[Did::Accepted(Failed), Did::Ack(reply)]);
    assert_eq!(*world.source.outcomes.lock(), [failure()]);
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 0);
}

/// No reply stands behind it, so no broker keeps it.
#[tokio::test(start_paused = true)]
async fn while_aws_is_away_what_a_person_said_is_kept_in_the_store_and_the_worker_is_not_told() {
    for durability in [Durability::Durable, Durability::Process] {
        let world = World::before_the_start_with(Kind::File, "", durability);
        let id = begun(&world).await;
        for _ in 0..1_000 {
            let away = SourceError::Unavailable("no answer".to_owned());
            world.source.settles.then(Err(away));
        }
        assert_eq!(fail(&world, id).await, R::Failing);
        assert_eq!(world.store.kept.lock().get(&id), Some(&failure()));
        let told = Did::Announce(Announcement::Gone);
        assert_eq!(world.log.count(&told), 0);
        assert_eq!(fail(&world, id).await, R::Settling);
        world.source.settles.clear();
        world.all_ended().await;
        world.log.wait_for(told.clone()).await;
        world
            .log
            .assert_order(&[Did::KeptOutcome, Did::Accepted(Failed), told]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_route_begins_no_poll_and_its_tasks_go_on_until_it_is_resumed() {
    let mut world = World::with(Kind::Memory, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    assert!(world.route.set_paused(true));
    assert!(!world.route.set_paused(true), "it is");
    world.settle_down().await;
    assert_eq!(*world.gate.borrow(), Gate::Paused);
    assert_eq!(Gate::Paused.to_string(), "paused by an operator");
    assert!(world.gate.borrow().is_healthy() && world.gate.borrow().has_observed());
    // The poll that is open brings a task.
    let task = world.task();
    let id = task.id;
    answer.send(Ok(Some(task))).expect("it is awaited");
    world.log.wait_for(Did::Publish).await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    world.at(secs(300.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 1);
    assert!(world.route.set_paused(false));
    world.settle_down().await;
    assert_eq!(world.log.times(|did| *did == Did::Poll).len(), 2);
    assert_eq!(*world.gate.borrow(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn what_else_is_wrong_with_a_paused_route_is_told_and_a_pause_closes_no_other_gate() {
    let more = format!(
        "{ONE}\n[[routes]]\nname = \"mail\"\nqueue = \"mail\"\nswf = {{ domain = \"shop\", task_list = \"mail\" }}"
    );
    let mut world = World::with(Kind::Memory, &more);
    world.poll();
    world.settle_down().await;
    world.route.set_paused(true);
    world.settle_down().await;
    let gates: Vec<_> = world
        .all_gates
        .iter()
        .map(|gate| gate.borrow().clone())
        .collect();
    assert_eq!(gates, [Gate::Paused, Gate::Open]);
    *world.store.unavailable.lock() = Some("disk".to_owned());
    world.at(secs(3.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::StoreAway("disk".to_owned()));
    *world.store.unavailable.lock() = None;
    world.at(secs(6.0) + MOMENT).await;
    assert_eq!(*world.gate.borrow(), Gate::Paused);
}
