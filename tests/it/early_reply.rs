//! A worker may be faster than the broker's confirm.

use crate::harness::{
    Answer, File, Memory, Proxy, Redis, Route, Source, StepFunctions, Store, Swf, World,
};
use rstest::rstest;
use std::time::Duration;

#[rstest]
#[tokio::test]
async fn a_reply_that_comes_before_the_publish_is_confirmed_still_settles(
    #[values((Swf, Memory), (StepFunctions, Memory), (Swf, File), (Swf, Redis))] kind: (
        Source,
        Store,
    ),
) {
    let (source, store) = kind;
    let world = World::new().await.of(source);
    let proxy = Proxy::start(&world.amqp_uri).await;
    // The poll that is open when the broker falls silent must bring the task.
    let behind = World::at(proxy.uri.clone(), Duration::from_secs(20)).await;
    let behind = behind.of(source).kept_in(store);
    let _worker = world.worker("payments", |_| Answer::done("fast")).await;
    let bridge = behind.bridge(&[Route::new("payments")]).await;
    behind.until("an open poll", |s| s.open_polls >= 1).await;

    proxy.hold(0, true);
    let id = behind.schedule("payments", 1).remove(0);
    let task = behind.closed(&id).await;
    assert_eq!(task.result, Some(source.result("fast")));
    assert_eq!(
        bridge.metric("publishes_total{outcome=\"confirmed\"").await,
        0.0
    );
    bridge.idle().await;

    proxy.hold(0, false);
    behind.schedule("payments", 10);
    behind.until("all completed", |s| s.completed == 11).await;
    bridge.idle().await;
    behind.assert_each_completed_once(11);
}
