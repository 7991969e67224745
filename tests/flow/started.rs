//! When the start is over.

use super::{
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    broker::{Link, Readiness, ReadinessError},
    process::started,
};
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};

const SECOND: &str = "\n[[routes]]\nname = \"refunds\"\nqueue = \"refunds\"\n\
                      swf = { domain = \"shop\", task_list = \"refunds\" }\n";

fn starts(world: &mut World) -> JoinHandle<()> {
    world.poll();
    tokio::spawn(started(world.all_gates.clone()))
}

async fn has_started(start: &mut JoinHandle<()>) -> bool {
    let ended = timeout(Duration::ZERO, start).await;
    ended.is_ok_and(|started| started.is_ok())
}

#[tokio::test(start_paused = true)]
async fn the_start_is_over_when_each_queue_is_there() {
    let mut world = World::with(Kind::Memory, SECOND);
    // The first observation of one of them takes its time.
    world.broker.observations.after(secs(7.0), ());
    let mut start = starts(&mut world);
    world.at(secs(6.9)).await;
    assert!(!has_started(&mut start).await);
    world.at(secs(7.0) + MOMENT).await;
    assert!(has_started(&mut start).await);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_delays_it() {
    let mut world = World::with(Kind::Memory, "");
    world
        .broker
        .link
        .send_replace(Link::Away("down".to_owned()));
    let mut start = starts(&mut world);
    world.at(secs(100.0)).await;
    assert!(!has_started(&mut start).await);
    world.broker.unblock();
    world.settle_down().await;
    assert!(has_started(&mut start).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_delays_it() {
    let mut world = World::with(Kind::Memory, "");
    *world.store.unavailable.lock() = Some("disk".to_owned());
    let mut start = starts(&mut world);
    world.at(secs(100.0)).await;
    assert!(!has_started(&mut start).await);
    *world.store.unavailable.lock() = None;
    world.at(secs(102.0)).await;
    assert!(has_started(&mut start).await);
}

/// A restart of the process would not help, and the other routes have work to do.
#[tokio::test(start_paused = true)]
async fn a_queue_that_needs_a_person_does_not_keep_it_from_being_over() {
    let forbidden = Err(ReadinessError::Unusable("forbidden".to_owned()));
    for readiness in [forbidden, Ok(Readiness::default())] {
        let mut world = World::with(Kind::Memory, "");
        *world.broker.readiness.lock() = readiness;
        let mut start = starts(&mut world);
        world.settle_down().await;
        assert!(has_started(&mut start).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_the_broker_was_not_asked_about_is_not_there() {
    let mut world = World::with(Kind::Memory, "");
    let away = ReadinessError::Away("no channel".to_owned());
    *world.broker.readiness.lock() = Err(away);
    let mut start = starts(&mut world);
    world.at(secs(100.0)).await;
    assert!(!has_started(&mut start).await);
}
