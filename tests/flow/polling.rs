//! The gate and the polls.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    broker::PublishError,
    intake::gate::Gate,
    phase::Phase,
    source::rate_limit::{Answer, Call},
};

const ONE: &str = "pollers = { min = 1, max = 1 }";

/// The next poll waits a second for its permit.
async fn throttle(world: &World) {
    let limiter = &world.source.rate_limiter;
    let poll = Call::Poll(world.route.rate_key);
    limiter.acquire(poll).await.done(Answer::Throttled);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_for_its_permit_is_withdrawn_when_the_gate_closes() {
    let mut world = World::with(Kind::Memory, ONE);
    throttle(&world).await;
    world.poll();
    world.at(secs(0.5)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    world.broker.block();
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 0);
    world.broker.unblock();
    let begun = world.log.wait_for(Did::Poll).await;
    assert!(begun - secs(100.0) <= secs(1.0), "{begun:?}");
}

/// As many polls are made again as were withdrawn.
#[tokio::test(start_paused = true)]
async fn polls_that_are_withdrawn_do_not_count_as_empty() {
    let mut world = World::with(Kind::Memory, "pollers = { min = 1, max = 8 }");
    let polls = &world.source.polls;
    polls.then(Ok(Some(world.task())));
    let answers = [polls.hold(), polls.hold()];
    world.poll();
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Poll), 3);
    throttle(&world).await;
    // Each task that comes soon raises the number of polls by one.
    for answer in answers {
        let task = world.task();
        answer.send(Ok(Some(task))).expect("it is awaited");
    }
    world.settle_down().await;
    assert_eq!(world.route.open_polls.number(), 4, "they wait for permits");
    world.broker.block();
    world.settle_down().await;
    assert_eq!(world.route.open_polls.number(), 0);
    assert_eq!(world.log.count(&Did::Poll), 3);
    world.broker.unblock();
    // An empty poll is held for a minute.
    world.at(secs(30.0)).await;
    assert_eq!(world.route.open_polls.number(), 4);
    assert_eq!(world.log.count(&Did::Poll), 7);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_for_its_permit_is_withdrawn_when_the_drain_begins() {
    let mut world = World::with(Kind::Memory, ONE);
    throttle(&world).await;
    world.poll();
    world.at(secs(0.5)).await;
    assert!(world.shutdown().run().await);
    assert!(
        world.log.now() <= secs(0.5) + 2 * MOMENT,
        "{:?}",
        world.log.now()
    );
    assert_eq!(world.log.count(&Did::Poll), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_poll_is_never_cancelled_and_its_task_is_published() {
    let mut world = World::with(Kind::Memory, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    *world.store.unavailable.lock() = Some("disk".to_owned());
    world.at(secs(30.0)).await;
    assert_ne!(*world.gate.borrow(), Gate::Open);
    let task = world.task();
    answer.send(Ok(Some(task))).expect("it is awaited");
    let published = world.log.wait_for(Did::Publish).await;
    assert!(published - secs(30.0) <= MOMENT, "{published:?}");
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_unblocked_just_before_the_queue_is_looked_at_is_polled_for_at_once() {
    let mut world = World::with(Kind::Memory, ONE);
    world.broker.block();
    world.poll();
    for step in 1..=8 {
        world.at(secs(f64::from(step) * 0.1)).await;
    }
    assert!(matches!(*world.gate.borrow(), Gate::BrokerBlocked(_)));
    let unblocked = world.log.now();
    world.broker.unblock();
    let begun = world.log.wait_for(Did::Poll).await;
    assert!(begun - unblocked <= MOMENT, "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_closes_the_gate_within_seconds() {
    let mut world = World::with(Kind::Memory, ONE);
    world.poll();
    world.log.wait_for(Did::Poll).await;
    *world.store.unavailable.lock() = Some("disk".to_owned());
    world.at(secs(2.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::StoreAway("disk".to_owned()));
    world.at(secs(300.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 1);
}

#[tokio::test(start_paused = true)]
async fn unrecorded_tasks_and_open_polls_are_at_most_four_for_each_poller() {
    let mut world = World::with(Kind::Memory, "pollers = { min = 2, max = 2 }");
    let held: Vec<_> = (0..8).map(|_| world.store.inserts.hold()).collect();
    for _ in 0..8 {
        let task = world.task();
        world.source.polls.then(Ok(Some(task)));
    }
    world.poll();
    world.at(secs(60.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 8);
    for recorded in held {
        recorded.send(Ok(())).expect("it is awaited");
    }
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Poll), 10);
}

#[tokio::test(start_paused = true)]
async fn a_route_whose_slots_are_taken_does_not_poll_until_one_is_free() {
    let settings = "max_in_flight = 1\npollers = { min = 1, max = 1 }";
    let mut world = World::with(Kind::Memory, settings);
    let task = world.task();
    let id = task.id;
    world.source.polls.then(Ok(Some(task)));
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 1);
    world.reply(id, "completed", "").await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Poll), 2);
}

#[tokio::test(start_paused = true)]
async fn in_no_phase_of_a_shutdown_is_anything_polled() {
    for phase in [Phase::Quiescing, Phase::Draining, Phase::Flushing] {
        let mut world = World::with(Kind::Memory, ONE);
        world.phase.send_replace(phase);
        // From here on the poll loop may end.
        world.bridge.supervisor.shut_down();
        world.poll();
        world.at(secs(100.0)).await;
        assert_eq!(
            *world.gate.borrow(),
            Gate::Open,
            "the gate does not forbid it"
        );
        assert_eq!(world.log.count(&Did::Poll), 0, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parking_queue_that_takes_nothing_closes_the_gate_with_the_reason_until_it_does() {
    let mut world = World::new();
    world.poll();
    world.at(secs(1.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    *world.broker.parking_problem.lock() = Some("no leader".to_owned());
    world.at(secs(3.0)).await;
    let closed = Gate::ParkingUnusable("no leader".to_owned());
    assert!(!closed.is_healthy());
    assert_eq!(*world.gate.borrow(), closed);
    *world.broker.parking_problem.lock() = None;
    world.at(secs(5.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_be_published_again_closes_the_gate_until_the_broker_has_it() {
    let mut world = World::with(Kind::Memory, "pollers = { min = 1, max = 2 }");
    let again = world.broker.publishes.hold();
    world.poll();
    world.log.wait_for(Did::Poll).await;
    world.submit(world.task()).await;
    let taken = world.broker.publishes.hold();
    world.settle_down().await;
    let full = PublishError::Nacked("full");
    again.send(Err(full)).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(*world.gate.borrow(), Gate::Undelivered(1));
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 1);
    taken.send(Ok(())).expect("it is awaited");
    let opened = world.log.wait_for(Did::NotedConfirm).await;
    world.settle_down().await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    assert!(opened - secs(100.0) <= MOMENT, "{opened:?}");
    assert_eq!(world.log.count(&Did::Poll), 2);
}
