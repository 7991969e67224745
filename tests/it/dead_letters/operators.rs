//! Queues that the operator declares: which of their dead letters reach the bridge.

use super::{DEAD_LETTERS, Place, QUEUE, table, text};
use crate::harness::{
    Inbox, Route, World, all_acknowledged, arguments_of_the_bridge, eventually, put,
};
use lapin::{
    options::{BasicGetOptions, BasicRejectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// What an operator's own queue of a limited length does.
#[tokio::test]
async fn a_task_that_is_dropped_from_a_full_queue_is_failed() {
    let arguments = table([
        ("x-max-length", AMQPValue::LongLongInt(1)),
        ("x-dead-letter-exchange", text(DEAD_LETTERS)),
    ]);
    let place = Place::of_the_operator("", arguments).await;
    let first = place.schedule();
    eventually("the first being published", || async {
        let published = place.bridge.metric("publishes_total{outcome=\"confirmed\"");
        (published.await == 1.0).then_some(())
    })
    .await;
    let second = place.schedule();
    let task = place.world.closed(&first).await;
    assert_eq!(task.reason.as_deref(), Some("dropped from a full queue"));
    assert_eq!(place.counted("dropped").await, 1.0);
    place.still_open(&second).await;
}

/// The operator's queue sends them all the same; the route says that they end nothing.
#[tokio::test]
async fn a_dead_letter_of_a_route_that_does_not_want_them_leaves_the_task_open() {
    let arguments = arguments_of_the_bridge();
    let place = Place::of_the_operator("dead_letters = false", arguments).await;
    let id = place.schedule();
    place.reject().await;
    eventually("the dead letter", || async {
        (place.counted("rejected").await == 1.0).then_some(())
    })
    .await;
    all_acknowledged(&place.world, &place.inbox, QUEUE).await;
    place.still_open(&id).await;
}

#[tokio::test]
async fn an_operators_classic_queue_that_has_our_exchange_tells_of_a_rejected_task() {
    let arguments = table([("x-dead-letter-exchange", text(DEAD_LETTERS))]);
    let place = Place::of_the_operator("", arguments).await;
    let id = place.schedule();
    place.reject().await;
    place
        .failed(&id, "rejected by a worker", "queue payments")
        .await;
}

#[tokio::test]
async fn an_operators_queue_without_a_dead_letter_exchange_stays_quiet() {
    let place = Place::of_the_operator("", FieldTable::default()).await;
    let id = place.schedule();
    place.reject().await;
    all_acknowledged(&place.world, &place.inbox, QUEUE).await;
    place.still_open(&id).await;
    assert_eq!(place.counted("rejected").await, 0.0);
    let log = place.bridge.log();
    // The simulator knows no activity type, so that no timeouts can be learnt.
    let mut warnings = log.lines().filter(|line| line.contains("WARN"));
    assert!(warnings.all(|line| line.contains("timeouts")), "{log}");
}

/// A retry queue of the operator's: the task died there first, and what counts is how it died last.
#[tokio::test]
async fn of_several_deaths_the_last_one_is_the_reason() {
    let first = table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("retry")),
    ]);
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let retry = table([("x-dead-letter-exchange", text(DEAD_LETTERS))]);
    for (queue, arguments) in [(QUEUE, first), ("retry", retry)] {
        let durable = QueueDeclareOptions::durable();
        let channel = inbox.channel();
        let declared = channel.queue_declare(queue.into(), durable, arguments);
        declared.await.expect("declared");
    }
    let route = Route::new(QUEUE).with("declare = false\npoll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    let id = world.schedule(QUEUE, 1).remove(0);
    for (queue, requeue) in [(QUEUE, false), ("retry", false)] {
        let task = eventually("the task", || async {
            let options = BasicGetOptions { no_ack: false };
            let got = inbox.channel().basic_get(queue.into(), options).await;
            got.expect("the queue can be read")
        })
        .await;
        let options = BasicRejectOptions { requeue };
        task.reject(options).await.expect("rejected");
    }
    let task = world.closed(&id).await;
    assert_eq!(task.details.as_deref(), Some("queue retry"));
    bridge.idle().await;
}

/// An operator's own queue may be told by a policy, while it is in use.
#[tokio::test]
async fn an_operators_quorum_queue_with_the_documented_policy_tells_of_a_rejected_task() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let guide = std::fs::read_to_string(guide).expect("the operations guide");
    let (_, command) = guide
        .split_once("rabbitmqctl set_policy")
        .expect("a command");
    let mut quoted = command.split('\'').skip(1).step_by(2);
    let mut next = || quoted.next().expect("a pattern and a definition");
    let (pattern, definition) = (next(), next());
    let definition: serde_json::Value = serde_json::from_str(definition).expect("JSON");

    let quorum = table([("x-queue-type", text("quorum"))]);
    let place = Place::of_the_operator("", quorum).await;
    let api = std::env::var("RABBITMQ_API").expect("the harness has looked already");
    let policy = format!("{api}/api/policies/{}/payments", place.world.vhost());
    let body = serde_json::json!({
        "pattern": pattern, "definition": definition, "apply-to": "queues",
    });
    put(&policy, &body).await;
    let id = place.schedule();
    place.reject().await;
    place
        .failed(&id, "rejected by a worker", "queue payments")
        .await;
}
