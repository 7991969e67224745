//! A broker's user who may not do everything.

use crate::harness::{Answer, DOMAIN, HOLD, Inbox, Route, World, put};
use activity_sim::{Schedule, TaskState};
use serde_json::json;

/// The same virtual host, as a user who may write everywhere but to what matches.
async fn limited(world: &World, forbidden: &str) -> String {
    let api = std::env::var("RABBITMQ_API").expect("the harness has looked already");
    let (vhost, user) = (world.vhost(), format!("limited-{}", world.vhost()));
    let write = format!("^(?!{forbidden}).*$");
    let login = json!({"password": "secret", "tags": ""});
    let permissions = json!({"configure": ".*", "write": write, "read": ".*"});
    put(&format!("{api}/api/users/{user}"), &login).await;
    put(
        &format!("{api}/api/permissions/{vhost}/{user}"),
        &permissions,
    )
    .await;
    let (_, server) = world.amqp_uri.split_once('@').expect("a URI with a login");
    format!("amqp://{user}:secret@{server}")
}

#[tokio::test]
async fn a_cancel_that_may_not_be_announced_leaves_the_tasks_and_their_connection_alone() {
    let world = World::new().await;
    let uri = limited(&world, "activity-bridge\\.control").await;
    let behind = World::at(uri, HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = behind.bridge(&[Route::new("payments")]).await;
    let ids = behind.sim.schedule(Schedule {
        request_cancel: true,
        ..Schedule::new(DOMAIN, "payments")
    });
    let task = worker.has_seen(1).await.remove(0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::of("heartbeat", "")).await;
    bridge.logged("a cancel is not announced yet").await;

    inbox.reply(&task, Answer::of("canceled", "stopped")).await;
    assert_eq!(behind.closed(&ids[0]).await.state, TaskState::Canceled);
    assert!(!bridge.log().contains("no connection to the broker"));
}

#[tokio::test]
async fn a_task_that_may_not_be_published_is_failed_back_to_aws_with_the_brokers_words() {
    let world = World::new().await;
    let uri = limited(&world, "amq\\.default").await;
    let behind = World::at(uri, HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("never")).await;
    let route = Route::new("payments").with("publish_within_secs = 5");
    let bridge = behind.bridge(&[route]).await;
    let id = behind.schedule("payments", 1).remove(0);
    let task = behind.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    let details = task.details.unwrap_or_default();
    assert!(details.contains("ACCESS_REFUSED"), "{details}");
    assert!(bridge.metric("publishes_total{outcome=\"refused\"").await >= 1.0);
}
