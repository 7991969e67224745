//! A task that is published again has the id that it had.

use crate::harness::{Answer, Inbox, Proxy, Route, TaskMessage, World, eventually, http};
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use serde_json::Value;
use std::time::Duration;

/// How long polls are held: the one that is open when the way to the queue goes must bring the task.
const HOLD: Duration = Duration::from_secs(20);

fn message_id(task: &TaskMessage) -> &str {
    let id = task.properties.message_id().as_ref();
    id.expect("a message_id").as_str()
}

/// The queue goes while a poll is open, and comes back after the task could not be routed.
#[tokio::test]
async fn a_task_that_could_not_be_routed_is_published_again_with_the_same_id() {
    let world = World::with_hold(HOLD).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let declare = || async {
        let durable = QueueDeclareOptions::durable();
        let declared =
            inbox
                .channel()
                .queue_declare("payments".into(), durable, FieldTable::default());
        declared.await.expect("declared");
    };
    declare().await;
    let route = Route::new("payments").with("declare = false\npoll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    world.until("an open poll", |s| s.open_polls >= 1).await;
    let options = QueueDeleteOptions::default();
    let deleted = inbox.channel().queue_delete("payments".into(), options);
    deleted.await.expect("deleted");
    world.schedule("payments", 1);
    let failed = bridge.logged("not published; trying again").await;
    declare().await;
    let task = inbox.next("payments").await;
    assert!(
        failed.contains(&task.id()[..8]),
        "another id than in {failed}"
    );
    assert_eq!(message_id(&task), task.id());
    assert!(
        !task.redelivered,
        "redelivered by the broker, not published again"
    );
    eventually("the confirm", || async {
        (bridge.metric("publishes_total{outcome=\"confirmed\"").await == 1.0).then_some(())
    })
    .await;
    assert!(inbox.get("payments").await.is_none(), "published twice");
}

/// The broker has the message, but its confirm is lost with the connection: the worker sees it twice, with one id.
#[tokio::test]
async fn a_task_whose_confirm_was_lost_is_published_again_with_the_same_id() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = behind.bridge(&[Route::new("payments")]).await;
    // The channel to the queue is opened with the first message.
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let before = behind.schedule("payments", 1).remove(0);
    let task = worker.has_seen(1).await.remove(0);
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    behind.closed(&before).await;
    proxy.hold(0, true);
    let id = behind.schedule("payments", 1).remove(0);
    let first = worker.has_seen(2).await.remove(1);

    close_connection(world.vhost(), "asking").await;
    let again = worker.has_seen(3).await.remove(2);
    assert_eq!(again.id(), first.id());
    assert_eq!(message_id(&again), first.id());
    assert_eq!(again.body, first.body);
    assert_eq!(again.properties, first.properties);
    assert!(!again.redelivered);
    let log = bridge.log();
    assert!(
        !log.contains("confirmed nothing for"),
        "it waited for a confirm on a connection that it had given up"
    );

    for task in [&first, &again] {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
    }
    behind.closed(&id).await;
    bridge.idle().await;
    behind.assert_each_settled_once(2);
}

/// As an operator does it, through the management API, which knows of a connection after a while.
pub async fn close_connection(vhost: &str, purpose: &str) {
    let api = std::env::var("RABBITMQ_API").expect("the tests' broker");
    let client = http();
    let list = format!("{api}/api/vhosts/{vhost}/connections");
    let name = format!("activity-bridge {purpose} ");
    let connection = eventually(&format!("the connection {name:?}"), || async {
        let answer = client.get(&list).send().await.expect("an answer");
        let connections: Vec<Value> = answer.json().await.expect("a list");
        let of_name = |c: &&Value| {
            let given = c["user_provided_name"].as_str();
            given.is_some_and(|given| given.starts_with(&name))
        };
        let found = connections.iter().find(of_name)?;
        found["name"].as_str().map(str::to_owned)
    })
    .await;
    let connection = connection
        .replace(' ', "%20")
        .replace('>', "%3E")
        .replace(':', "%3A");
    let closed = client
        .delete(format!("{api}/api/connections/{connection}"))
        .send()
        .await;
    let status = closed.expect("an answer").status();
    assert!(status.is_success(), "{connection}: {status}");
}
