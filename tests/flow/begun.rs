//! Tasks on which a worker has begun: its heartbeats, and its outcome while AWS does not take it.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, T, World, secs},
};
use activity_bridge::{
    broker::Announcement::Gone, intake::recovery, source::SourceError, task::OutcomeKind::Completed,
};

#[tokio::test(start_paused = true)]
async fn a_task_whose_worker_beats_outlives_its_heartbeat_timeout() {
    let world = World::new();
    let id = world.dispatch().await;
    world.source.time_out_after(T);
    for beat in 1..=100 {
        world.at(secs(f64::from(beat) * 3.0)).await;
        world.reply(id, "heartbeat", "").await;
    }
    assert_eq!(world.log.count(&Did::Announce(Gone)), 0);
    assert_eq!(world.bridge.inflight.ids(), [id]);
    let beats = world.log.beats();
    assert!(beats.windows(2).all(|pair| pair[1] - pair[0] < T));
    assert!(beats.len() <= 31, "one in an interval: {}", beats.len());
}

#[tokio::test(start_paused = true)]
async fn by_bridge_a_worker_that_has_begun_may_be_quiet() {
    let world = World::with(Kind::Memory, "heartbeat = { by = \"bridge\" }");
    let id = world.dispatch().await;
    world.source.time_out_after(T);
    world.reply(id, "started", "").await;
    world.reply(id, "heartbeat", "half").await;
    world.at(secs(300.0)).await;
    assert_eq!(world.log.count(&Did::Announce(Gone)), 0);
    assert_eq!(world.bridge.inflight.ids(), [id]);
    let half = world.log.count(&Did::Beat("half".to_owned()));
    assert!(half >= 28, "its details are kept: {half}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_task_overtakes_a_heartbeat_that_waits() {
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "heartbeat", "first").await;
    world.log.wait_for(Did::Beat("first".to_owned())).await;
    world.reply(id, "heartbeat", "waits for the interval").await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert!(world.log.now() < INTERVAL);
    world.at(secs(300.0)).await;
    assert_eq!((world.log.beats().len(), world.log.settles()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_aws_does_not_take_yet_is_kept_alive() {
    let world = World::with(Kind::Memory, "heartbeat = { by = \"worker\" }");
    for _ in 0..1_000 {
        let away = SourceError::Unavailable("503".to_owned());
        world.source.settles.then(Err(away));
    }
    let id = world.dispatch().await;
    world.source.time_out_after(T);
    world.reply(id, "completed", "done").await;
    world.at(secs(300.0)).await;
    let beats = world.log.beats();
    assert!(beats.len() >= 10, "{beats:?}");
    assert!(beats.windows(2).all(|pair| pair[1] - pair[0] < T));
    assert_eq!(world.log.count(&Did::Announce(Gone)), 0);
    world.source.settles.clear();
    world.all_ended().await;
    let order = [Did::Accepted(Completed), Did::Ack(1), Did::Removed];
    world.log.assert_order(&order);
}

/// The worker died with the bridge: the bridge asks for the task, and does not speak for it any more.
#[tokio::test(start_paused = true)]
async fn a_worker_that_had_begun_before_the_start_is_not_spoken_for() {
    let world = World::before_the_start(Kind::File, "");
    let mut orphan = world.record(&world.task(), true);
    orphan.begun = true;
    world.store.orphans.lock().push_back(orphan);
    world.source.time_out_after(T);
    assert!(recovery::restore_all(&world.bridge).await.is_empty());
    world.run_heartbeats();
    let noticed = world.log.wait_for(Did::Announce(Gone)).await;
    assert!(noticed < T + secs(2.0), "{noticed:?}");
    assert!(world.log.beats().len() <= 2, "{:?}", world.log.beats());
}
