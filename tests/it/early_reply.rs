//! A worker may be faster than the broker's confirm.

use crate::harness::{Answer, HOLD, Proxy, Route, Source, StepFunctions, Swf, World};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn a_reply_that_comes_before_the_publish_is_confirmed_still_settles(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await.of(source);
    let _worker = world.worker("payments", |_| Answer::done("fast")).await;
    let bridge = behind.bridge(&[Route::new("payments")]).await;
    bridge.route_is("payments", "polling").await;

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
