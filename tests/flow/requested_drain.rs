//! The drain that a person or a hook asks for.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    intake::gate::Gate,
    phase::Phase,
    process::{DrainSwitch, DrainWait, Ending},
    task::{OutcomeKind::Completed, OutcomeKind::Failed},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

const ONE: &str = "pollers = { min = 1, max = 1 }";

/// Somebody waits for the drain of a bridge. Returns how that ended, and when.
fn waits(world: &World) -> JoinHandle<(DrainWait, Instant)> {
    let (switch, phase) = (world.switch.clone(), world.phase.subscribe());
    tokio::spawn(async move { (switch.drained(phase).await, Instant::now()) })
}

/// How the wait ended, if it has.
async fn ended(waiting: &mut JoinHandle<(DrainWait, Instant)>) -> Option<DrainWait> {
    let ended = timeout(Duration::ZERO, waiting).await.ok()?;
    Some(ended.expect("no panic").0)
}

fn phase(world: &World) -> Phase {
    *world.phase.borrow()
}

fn polls(world: &World) -> usize {
    world.log.count(&Did::Poll)
}

#[tokio::test(start_paused = true)]
async fn open_polls_are_awaited_then_tasks_and_then_the_process_waits_and_closes_nothing() {
    let mut world = World::with(Kind::File, ONE);
    let answer = world.source.polls.hold();
    world.may_drain();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.switch.drain();
    let mut waiting = waits(&world);
    world.at(secs(50.0)).await;
    assert_eq!(phase(&world), Phase::Quiescing);
    let task = world.task();
    let id = task.id;
    answer.send(Ok(Some(task))).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Draining);
    world.log.wait_for(Did::NotedConfirm).await;
    world.at(secs(75.0)).await;
    assert_eq!(ended(&mut waiting).await, None);
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Drained);
    assert_eq!(ended(&mut waiting).await, Some(DrainWait::Drained));

    world.at(secs(4_000.0)).await;
    assert_eq!(phase(&world), Phase::Drained);
    assert_eq!(polls(&world), 1);
    let closed = [
        Did::CloseBroker(true),
        Did::CloseBroker(false),
        Did::CloseStore,
    ];
    assert!(closed.iter().all(|did| world.log.count(did) == 0));
    assert_eq!(waits(&world).await.expect("no panic").0, DrainWait::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_taken_back_polls_at_once() {
    let mut world = World::with(Kind::Memory, ONE);
    world.may_drain();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.switch.drain();
    world.at(secs(100.0)).await;
    assert_eq!(phase(&world), Phase::Drained);
    assert_eq!(world.switch.resume(), Ok(true));
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Running);
    assert_eq!(polls(&world), 2);
    assert_eq!(world.switch.resume(), Ok(false), "there is none any more");
    world.source.polls.then(Ok(Some(world.task())));
    world.log.wait_for(Did::NotedConfirm).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_taken_back_while_a_poll_is_open_cancels_no_poll_and_tells_who_waits() {
    let mut world = World::with(Kind::Memory, ONE);
    let answer = world.source.polls.hold();
    world.may_drain();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.switch.drain();
    let mut waiting = waits(&world);
    world.at(secs(10.0)).await;
    assert_eq!(world.switch.resume(), Ok(true));
    world.settle_down().await;
    assert_eq!(ended(&mut waiting).await, Some(DrainWait::TakenBack));
    assert_eq!(phase(&world), Phase::Running);
    assert_eq!(polls(&world), 1, "the one that is open is enough");
    answer.send(Ok(Some(world.task()))).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Publish), 1);
    assert_eq!(polls(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn a_signal_after_a_drain_ends_the_process_at_once() {
    let mut world = World::with(Kind::Memory, ONE);
    world.may_drain();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.switch.drain();
    world.at(secs(1_000.0)).await;
    assert_eq!(phase(&world), Phase::Drained);
    assert!(world.shutdown().run().await, "nothing is left");
    assert!(world.log.now() <= secs(1_000.0) + MOMENT);
    let order = [Did::CloseBroker(false), Did::CloseStore];
    world.log.assert_order(&order);
    assert_eq!(phase(&world), Phase::Closed);
}

/// The grace period is 90 s, of which the last 10 s are kept for failing back.
#[tokio::test(start_paused = true)]
async fn the_grace_period_of_a_signal_begins_with_the_drain_and_leaves_time_to_fail_back() {
    for (signal, flushes, ends) in [
        (30.0, 80.0, 90.0),
        (79.0, 80.0, 90.0),
        (500.0, 500.0, 510.0),
    ] {
        let mut world = World::with(Kind::Memory, ONE);
        world.may_drain();
        world.dispatch().await;
        world.switch.drain();
        world.at(secs(signal)).await;
        assert_eq!(phase(&world), Phase::Draining, "{signal}");
        let shutdown = world.shutdown();
        let end = shutdown.end() - Instant::now();
        let expected = secs(ends) - world.log.now();
        assert!(end.abs_diff(expected) <= 2 * MOMENT, "{signal}: {end:?}");
        assert!(shutdown.run().await, "{signal}");
        let failed = world.log.wait_for(Did::Accepted(Failed)).await;
        let late = failed.abs_diff(secs(flushes));
        assert!(late <= 3 * MOMENT, "{signal}: {failed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_the_grace_period_is_nearly_over_and_the_drain_goes_on() {
    let world = World::with(Kind::Memory, ONE);
    world.may_drain();
    let id = world.dispatch().await;
    world.at(secs(10.0)).await;
    world.switch.drain();
    let begun = Instant::now();
    world.at(secs(30.0)).await;
    // A second one does not begin it anew.
    world.switch.drain();
    let (how, at) = waits(&world).await.expect("no panic");
    assert_eq!(how, DrainWait::TimeUp);
    assert!(
        (at - begun).abs_diff(secs(80.0)) <= MOMENT,
        "{:?}",
        at - begun
    );
    assert_eq!(phase(&world), Phase::Draining);
    world.at(secs(300.0)).await;
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Drained);
    assert_eq!(waits(&world).await.expect("no panic").0, DrainWait::Drained);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_drain_waits_three_seconds_for_its_begin() {
    let world = World::with(Kind::Memory, ONE);
    world.may_drain();
    let asked = Instant::now();
    let (how, at) = waits(&world).await.expect("no panic");
    assert_eq!((how, at - asked), (DrainWait::NoDrain, secs(3.0)));

    let mut early = waits(&world);
    world.at(secs(5.9)).await;
    assert_eq!(ended(&mut early).await, None);
    world.switch.drain();
    world.settle_down().await;
    assert_eq!(ended(&mut early).await, Some(DrainWait::Drained));
}

#[tokio::test(start_paused = true)]
async fn who_waits_sees_the_end_of_a_shutdown_that_no_drain_came_before() {
    let mut world = World::with(Kind::Memory, ONE);
    world.may_drain();
    let id = world.dispatch().await;
    let mut waiting = waits(&world);
    world.settle_down().await;
    let shutdown = tokio::spawn(world.shutdown().run());
    world.at(secs(20.0)).await;
    assert_eq!(ended(&mut waiting).await, None);
    world.reply(id, "completed", "done").await;
    assert_eq!(waiting.await.expect("no panic").0, DrainWait::Drained);
    assert!(shutdown.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_signal_in_the_middle_of_a_drain_takes_over_and_nothing_takes_that_back() {
    let mut world = World::with(Kind::File, ONE);
    let answer = world.source.polls.hold();
    world.may_drain();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.switch.drain();
    world.at(secs(10.0)).await;
    let shutdown = tokio::spawn(world.shutdown().run());
    world.settle_down().await;
    assert_eq!(world.switch.resume(), Err(Ending));
    world.switch.drain();
    world.at(secs(20.0)).await;
    assert_eq!(phase(&world), Phase::Quiescing);
    answer.send(Ok(None)).expect("it is awaited");
    assert!(shutdown.await.expect("no panic"));
    assert_eq!(phase(&world), Phase::Closed);
    world.at(secs(200.0)).await;
    assert_eq!(
        phase(&world),
        Phase::Closed,
        "the drain sets no phase any more"
    );
    assert_eq!(polls(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_during_the_recovery_goes_back_to_where_that_is_then() {
    for recovers_meanwhile in [true, false] {
        let world = World::with(Kind::Memory, ONE);
        world.phase.send_replace(Phase::Recovering);
        let (recovered, has_recovered) = watch::channel(false);
        world.may_drain_after(has_recovered);
        world.switch.drain();
        world.settle_down().await;
        assert_eq!(phase(&world), Phase::Drained);
        recovered.send_replace(recovers_meanwhile);
        assert_eq!(world.switch.resume(), Ok(true));
        world.settle_down().await;
        let expected = match recovers_meanwhile {
            true => Phase::Running,
            false => Phase::Recovering,
        };
        assert_eq!(phase(&world), expected);
    }
}

/// What a worker has when the drain begins is delivered and settled as always, heartbeats included.
#[tokio::test(start_paused = true)]
async fn heartbeats_and_replies_go_on_during_a_drain() {
    let world = World::with(Kind::Memory, ONE);
    world.may_drain();
    let id = world.dispatch().await;
    world.switch.drain();
    world.at(secs(60.0)).await;
    assert!(world.log.beats().len() >= 3, "{:?}", world.log.beats());
    world.reply(id, "completed", "done").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_drained_process_adopts_no_task_of_a_dead_one_until_it_polls_again() {
    let world = World::with(Kind::Redis, "");
    world.may_drain();
    world.switch.drain();
    world.at(secs(1.0)).await;
    assert_eq!(phase(&world), Phase::Drained);
    let task = world.task();
    let record = world.record(&task, true);
    world.store.orphans.lock().push_back(record);
    world.at(secs(60.0)).await;
    assert!(world.bridge.inflight.is_empty());
    assert_eq!(world.switch.resume(), Ok(true));
    world.at(secs(61.0)).await;
    assert_eq!(world.bridge.inflight.len(), 1);
}

/// The store has begun to hand it out when the drain begins.
#[tokio::test(start_paused = true)]
async fn a_task_of_a_dead_process_that_is_being_adopted_is_awaited() {
    let world = World::with(Kind::Redis, "");
    world.may_drain();
    let answer = world.store.adoptions.hold();
    let record = world.record(&world.task(), true);
    world.store.orphans.lock().push_back(record);
    world.at(secs(2.0)).await;
    world.switch.drain();
    world.at(secs(3.0)).await;
    assert_eq!(phase(&world), Phase::Quiescing);
    answer.send(Ok(())).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(phase(&world), Phase::Draining);
    assert_eq!(world.bridge.inflight.len(), 1);
}

/// The bridge is the broker, and sees at once that nobody is left.
#[tokio::test(start_paused = true)]
async fn without_a_drain_a_worker_that_leaves_the_endpoint_stops_the_polls_by_itself() {
    let mut world = World::on_the_endpoint("pollers = { min = 2, max = 4 }");
    let held: Vec<_> = (0..4).map(|_| world.source.polls.hold()).collect();
    world.broker.tell(1, 10, 0);
    world.poll();
    world.settle_down().await;
    let begun = polls(&world);
    assert!(begun > 0);
    world.at(secs(5.0)).await;
    world.broker.tell(0, 0, 0);
    world.settle_down().await;
    assert_eq!(*world.gate.borrow(), Gate::NoConsumers);
    for answer in held.into_iter().take(begun) {
        answer.send(Ok(None)).expect("it is awaited");
    }
    world.at(secs(1_000.0)).await;
    assert_eq!(polls(&world), begun, "those that were open, and no other");
    assert_eq!(world.route.open_polls.number(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_drain_is_the_grace_period_without_its_reserve() {
    for (grace, expected) in [(90.0, 80.0), (20.0, 16.0), (1.0, 0.8)] {
        let switch = DrainSwitch::new(secs(grace));
        let (_phase, seen) = watch::channel(Phase::Draining);
        switch.drain();
        let begun = Instant::now();
        assert_eq!(switch.drained(seen).await, DrainWait::TimeUp);
        let took = begun.elapsed();
        assert!(took.abs_diff(secs(expected)) <= MOMENT, "{took:?}");
    }
}
