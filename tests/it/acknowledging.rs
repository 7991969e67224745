//! When a worker acknowledges a task, and what becomes of the task when it dies before that.

use crate::harness::{Answer, Inbox, Route, Source, StepFunctions, Swf, World, eventually};
use lapin::options::BasicGetOptions;
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn a_task_whose_worker_crashed_before_it_acknowledged_goes_to_another_worker(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    let id = world.schedule("payments", 1).remove(0);
    let crashing = Inbox::connect(&world.amqp_uri).await;
    let options = BasicGetOptions { no_ack: false };
    let first = eventually("the task", || async {
        let got = crashing
            .channel()
            .basic_get("payments".into(), options)
            .await;
        got.expect("the queue can be read")
    })
    .await;
    drop(crashing);

    let other = Inbox::connect(&world.amqp_uri).await;
    let again = other.next("payments").await;
    assert!(again.redelivered);
    assert_eq!(
        again.properties.message_id(),
        first.properties.message_id(),
        "it is another task"
    );
    assert_eq!(again.body.as_bytes(), first.data);
    other.reply(&again, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.result, Some(source.result("ok")));
    world.assert_each_completed_once(1);
}
