//! A process that runs until nothing comes any more.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{phase::Phase, source::SourceError};
use std::time::Duration;
use tokio::{task::JoinHandle, time::Instant};

const ONE: &str = "pollers = { min = 1, max = 1 }";

/// The interval at which it is checked.
const CHECK: Duration = Duration::from_millis(250);

const LIMIT: Duration = Duration::from_secs(30);

/// Runs until it is idle. Returns when that was.
fn until_idle(world: &World) -> JoinHandle<Instant> {
    let idleness = world.idleness();
    tokio::spawn(async move {
        idleness.lasts(LIMIT).await;
        Instant::now()
    })
}

/// Asserts that it ends this long after that.
async fn assert_ends(idle: JoinHandle<Instant>, after: Instant) {
    let ended = idle.await.expect("no panic") - after;
    let late = ended.checked_sub(LIMIT).expect("not before");
    assert!(late <= 2 * CHECK + MOMENT, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_task_the_process_ends_after_the_time() {
    let mut world = World::with(Kind::Memory, ONE);
    world.poll();
    let begun = Instant::now();
    assert_ends(until_idle(&world), begun).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_in_flight_and_its_end_begin_the_time_anew() {
    let mut world = World::with(Kind::Memory, ONE);
    world.source.polls.then(Ok(Some(world.task())));
    world.poll();
    let idle = until_idle(&world);
    world.log.wait_for(Did::NotedConfirm).await;
    world.at(secs(500.0)).await;
    assert!(!idle.is_finished());
    let id = world.bridge.inflight.ids()[0];
    world.reply(id, "completed", "done").await;
    assert_ends(idle, Instant::now()).await;
}

/// It comes and ends between two checks.
#[tokio::test(start_paused = true)]
async fn a_task_that_ends_at_once_begins_the_time_anew() {
    let mut world = World::with(Kind::Memory, ONE);
    let answer = world.source.polls.hold();
    world.poll();
    let idle = until_idle(&world);
    world.at(secs(20.1)).await;
    let task = world.task();
    let id = task.id;
    answer.send(Ok(Some(task))).expect("it is awaited");
    world.log.wait_for(Did::NotedConfirm).await;
    world.reply(id, "completed", "done").await;
    world.log.wait_for(Did::Removed).await;
    assert!(world.log.now() < secs(20.2), "{:?}", world.log.now());
    assert_ends(idle, Instant::now() - CHECK).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_does_not_begin_before_the_first_worker_comes_and_goes_on_when_it_leaves() {
    let mut world = World::on_the_endpoint(ONE);
    world.poll();
    let idle = until_idle(&world);
    world.at(secs(1_000.0)).await;
    assert!(!idle.is_finished());
    world.broker.tell(1, 1, 0);
    let came = Instant::now();
    world.at(secs(1_010.0)).await;
    world.broker.tell(0, 0, 0);
    assert_ends(idle, came).await;
}

#[tokio::test(start_paused = true)]
async fn while_aws_or_the_store_does_not_answer_the_process_does_not_end() {
    let mut world = World::with(Kind::Memory, ONE);
    for _ in 0..1_000 {
        let away = SourceError::Unavailable("503".to_owned());
        world.source.polls.then(Err(away));
    }
    world.poll();
    let idle = until_idle(&world);
    world.at(secs(300.0)).await;
    assert!(!idle.is_finished());
    world.source.polls.clear();
    *world.store.unavailable.lock() = Some("disk".to_owned());
    world.at(secs(600.0)).await;
    assert!(!idle.is_finished());
    *world.store.unavailable.lock() = None;
    // The last poll failed, and AWS holds the next one for a minute.
    world.at(secs(730.0)).await;
    assert!(idle.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_drained_process_waits_for_its_resume() {
    let mut world = World::with(Kind::Memory, ONE);
    world.poll();
    world.phase.send_replace(Phase::Drained);
    let idle = until_idle(&world);
    world.at(secs(1_000.0)).await;
    assert!(!idle.is_finished());
    world.phase.send_replace(Phase::Running);
    assert_ends(idle, Instant::now()).await;
}
