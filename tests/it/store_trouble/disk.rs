//! The file's disk: frozen, and full.

use super::{StoreOutage, T, are_failed_back};
use crate::{
    crash::{Hand, PAYMENTS, Toll, done, route},
    harness::{Disk, HOLD, Proxy, TEST_TIMEOUT, World, eventually},
};
use activity_sim::{Schedule, Timeouts};

async fn on(disk: &Disk) -> World {
    let file = disk.path().join("tasks.redb");
    World::new().await.kept_in_file(&file)
}

#[tokio::test]
async fn a_frozen_disk_stops_polling_and_what_is_in_flight_goes_on() {
    let Some(disk) = Disk::new().await else {
        return;
    };
    let outage = StoreOutage::with(on(&disk).await, "").await;
    disk.freeze().await;
    outage.begins().await;
    outage.goes_on().await;
    // What AWS has taken may be acknowledged, though its record can't be removed yet.
    let seen = outage.worker.seen();
    outage.reply(&seen[..5]).await;
    outage.world.until("settled", |s| s.completed == 5).await;
    disk.thaw().await;
    outage.is_over(5).await;
}

#[tokio::test]
async fn what_a_frozen_disk_can_not_record_in_time_is_failed_back_to_aws() {
    let Some(disk) = Disk::new().await else {
        return;
    };
    let outage = StoreOutage::with(on(&disk).await, "publish_within_secs = 3").await;
    disk.freeze().await;
    let polled = outage.begins().await;
    are_failed_back(&outage, polled).await;
    disk.thaw().await;
    outage.bridge.route_is(PAYMENTS, "polling").await;
}

/// What was polled and not recorded is AWS's to time out; nobody has seen it.
#[tokio::test]
async fn a_bridge_that_is_killed_while_its_disk_is_frozen_loses_nothing_that_was_recorded() {
    let Some(disk) = Disk::new().await else {
        return;
    };
    let mut outage = StoreOutage::with(on(&disk).await, "").await;
    disk.freeze().await;
    let polled = outage.begins().await;
    outage.bridge.signal("KILL");
    // A process that waits for a disk may end only when that goes on.
    disk.thaw().await;
    outage.bridge.ended().await;
    let log = outage.bridge.log();
    outage.bridge = outage.world.bridge(&[route(T, "")]).await;
    let hand = Hand::of(&outage.world).await;
    eventually("the end of every task", || async {
        hand.end(outage.worker.seen()).await;
        (outage.world.sim.summary().open == 0).then_some(())
    })
    .await;
    let seen = outage.worker.seen();
    let toll = Toll::of(&outage.world, &seen, &[log, outage.bridge.log()]);
    println!("{toll:?}, of {polled} that were polled while the disk was frozen");
    assert!(toll.never_recorded() as u64 <= polled);
}

/// The broker does not confirm, so that every record has its input beside it.
#[tokio::test]
async fn a_full_disk_stops_polling_until_there_is_room() {
    let Some(disk) = Disk::new().await else {
        return;
    };
    let shared = World::new().await;
    let worker = shared.worker(PAYMENTS, |task| vec![done(task)]).await;
    let proxy = Proxy::start(&shared.amqp_uri).await;
    let world = World::at(proxy.uri.clone(), HOLD).await;
    let world = world.kept_in_file(&disk.path().join("tasks.redb"));
    let bridge = world.bridge(&[route(4 * T, "max_in_flight = 500")]).await;
    bridge.route_is(PAYMENTS, "polling").await;
    proxy.hold(0, true);
    disk.fill();
    let padding = " ".repeat(30_000);
    for n in 0..500 {
        world.sim.schedule(Schedule {
            input: Some(format!("{{\"n\":{n}{padding}}}")),
            timeouts: Timeouts {
                heartbeat: Some(4 * T),
                ..Timeouts::default()
            },
            ..world.plain(PAYMENTS)
        });
    }
    bridge.route_is(PAYMENTS, "the token store is away").await;
    let (status, body) = bridge.get("/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("space") || body.contains("full"), "{body}");
    world.until("no open polls", |s| s.open_polls == 0).await;
    let (polled, seen) = (world.sim.summary().polled, worker.seen().len() as u64);
    assert!(
        seen < polled,
        "{seen} of {polled} were published, and the disk is full"
    );

    disk.make_room();
    proxy.hold(0, false);
    let all = world.sim.wait_until(TEST_TIMEOUT, |s| s.completed == 500);
    all.await.expect("all are completed");
    bridge.idle().await;
    bridge.ready().await;
    world.assert_each_settled_once(500);
}
