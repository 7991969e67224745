//! A queue that several workers and routes share.

use super::client::{Client, ack};
use crate::harness::{HOLD, Route, World};
use std::time::Duration;

#[tokio::test]
async fn two_routes_with_one_queue_share_the_credit_of_its_consumers() {
    let world = World::of_the_endpoint(HOLD).await;
    let routes = [
        Route::new("payments").plain_acks(),
        Route::new("refunds").queue("payments").plain_acks(),
    ];
    let _bridge = world.bridge(&routes).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    world.schedule("payments", 3);
    world.schedule("refunds", 3);
    let (_, mut delivery) = worker.next().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let polled = world.sim.summary().polled;
    // A poll of the other route may have been open already.
    assert!(polled <= 2, "{polled}");
    for _ in 0..5 {
        ack(&delivery).await;
        (_, delivery) = worker.next().await;
    }
    ack(&delivery).await;
    world
        .until("all completions", |all| all.completed == 6)
        .await;
}
