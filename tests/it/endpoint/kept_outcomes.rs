//! The bridge is killed while AWS refuses outcomes: the next process settles them, and delivers nothing again.

use super::client::{Client, PAYMENTS, ack, nack};
use crate::harness::{Answer, HOLD, Route, Store, World, eventually, reply};
use activity_sim::{FaultRule, TaskState};
use rstest::rstest;
use std::time::Duration;

/// What the debug log says of an outcome that was given to the store.
const KEPT: &str = "the token store keeps it";

const A_WHILE: Duration = Duration::from_millis(500);

#[rstest]
#[tokio::test]
async fn outcomes_that_aws_has_not_taken_before_a_kill_are_settled_after_it_without_a_delivery(
    #[values(Store::File, Store::Redis)] store: Store,
) {
    let world = World::of_the_endpoint(HOLD).await.kept_in(store);
    let routes = [Route::new(PAYMENTS)
        .plain_acks()
        .with("ack_result = \"acknowledged\"")];
    let mut bridge = world.bridge(&routes).await;
    let mut worker = Client::consuming(&world.amqp_uri, 4).await;
    for action in ["RespondActivityTaskCompleted", "RespondActivityTaskFailed"] {
        world
            .sim
            .fault(FaultRule::error(action, 500, "InternalFailure"));
    }
    world.schedule(PAYMENTS, 3);
    let (replied, _) = worker.next().await;
    let (acknowledged, of_acknowledged) = worker.next().await;
    let (rejected, of_rejected) = worker.next().await;
    let ids = [&replied, &acknowledged, &rejected].map(|task| task.header("activity-id"));
    let ids = ids.map(|id| id.expect("a task of SWF"));
    // Its confirm would come when AWS has the outcome.
    let channel = worker.channel.clone();
    let answer = Answer::of("completed", "replied");
    let waits = tokio::spawn(async move { reply(&channel, &replied, answer).await });
    ack(&of_acknowledged).await;
    nack(&of_rejected, false).await;
    eventually("three kept outcomes", || async {
        (bridge.log().matches(KEPT).count() == 3).then_some(())
    })
    .await;
    assert!(!waits.is_finished(), "a confirm, and AWS has no outcome");
    // Its record carries what is kept to the disk.
    let fresh = world.schedule(PAYMENTS, 1).remove(0);
    worker.next().await;
    bridge.kill().await;

    let bridge = world.bridge(&routes).await;
    let mut worker = Client::consuming(&world.amqp_uri, 10).await;
    let (again, of_fresh) = worker.next().await;
    assert_eq!(again.header("activity-id"), Some(fresh));
    assert!(worker.gets_nothing(A_WHILE).await);
    assert_eq!(bridge.metric("tasks_in_flight").await, 4.0);
    world.sim.clear_faults();
    let [replied, acknowledged, rejected] = [
        world.closed(&ids[0]).await,
        world.closed(&ids[1]).await,
        world.closed(&ids[2]).await,
    ];
    assert_eq!(replied.result.as_deref(), Some("replied"));
    assert_eq!(acknowledged.result.as_deref(), Some("acknowledged"));
    assert_eq!(rejected.state, TaskState::Failed);
    assert_eq!(rejected.reason.as_deref(), Some("rejected by a worker"));
    assert!(worker.gets_nothing(A_WHILE).await);
    ack(&of_fresh).await;
    bridge.idle().await;
    let summary = world.sim.summary();
    assert_eq!((summary.completed, summary.failed), (3, 1));
}
