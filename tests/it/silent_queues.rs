//! RabbitMQ: a queue for answers or for parked replies whose leader says nothing ends no connection, and holds up nothing
//! else.

use crate::{
    harness::{Answer, HOLD, Inbox, Node, Route, TaskMessage, World, eventually},
    isolation::{Other, PARKED, parked},
};
use activity_sim::TaskState;
use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use std::time::{Duration, Instant};

/// The leader of a queue in the default virtual host stops, or goes on.
async fn leader(node: &Node, queue: &str, verb: &str) {
    node.ctl(&["eval", &format!("sys:{verb}('%2F_{queue}').")])
        .await;
}

async fn ask(inbox: &Inbox, task: &TaskMessage, to: &str) {
    let question = Answer::of("heartbeat", "").asking(to);
    inbox.reply(task, question).await;
}

#[tokio::test]
async fn a_queue_of_answers_without_a_working_leader_ends_no_connection_and_holds_up_no_other() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = world
        .bridge(&[Route::new("payments"), Route::new("mails")])
        .await;
    let other = Other::in_world(&world).await;
    let id = world.schedule("payments", 1).remove(0);
    let task = worker.has_seen(1).await.remove(0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut quorum = FieldTable::default();
    let kind = AMQPValue::LongString("quorum".into());
    quorum.insert("x-queue-type".into(), kind);
    let durable = QueueDeclareOptions::durable();
    let declared = inbox
        .channel()
        .queue_declare("answers".into(), durable, quorum);
    declared.await.expect("declared");
    leader(&node, "answers", "suspend").await;

    // Many times the timeout of an answer.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        ask(&inbox, &task, "answers").await;
        other.goes_on().await;
    }
    bridge.logged("a heartbeat could not be answered").await;
    let own = inbox.own_queue().await;
    eventually("an answer in another queue", || async {
        ask(&inbox, &task, &own).await;
        inbox.get(&own).await
    })
    .await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    assert!(!bridge.log().contains("no connection to the broker"));

    leader(&node, "answers", "resume").await;
    eventually("an answer", || async {
        ask(&inbox, &task, "answers").await;
        inbox.get("answers").await
    })
    .await;
}

/// The route says all the while why it does not poll.
#[tokio::test]
async fn a_parking_queue_without_a_working_leader_ends_no_connection_and_holds_up_no_usable_reply()
{
    const GARBAGE: u32 = 300;
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let route = Route::new("payments").with("max_in_flight = 20");
    let bridge = world.bridge(&[route]).await;
    let ids = world.schedule("payments", 20);
    let tasks = worker.has_seen(20).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    leader(&node, PARKED, "suspend").await;
    let garbage = Answer {
        correlation_id: Some(String::new()),
        ..Answer::default()
    };
    for _ in 0..GARBAGE {
        inbox.reply(&tasks[0], garbage.clone()).await;
    }
    let unusable = "the queue activity-bridge.parked takes no messages";
    bridge.route_is("payments", unusable).await;
    for task in &tasks {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
    }
    for id in &ids {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
    // Longer than an attempt to park and its back-off.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(50) {
        let (ready, state) = bridge.route("payments").await;
        assert!(!ready && state.contains(unusable), "{state}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!bridge.log().contains("no connection to the broker"));

    leader(&node, PARKED, "resume").await;
    bridge.route_is("payments", "polling").await;
    // Those whose confirm did not come may be there twice.
    eventually("all being parked", || async {
        (parked(&inbox).await >= Some(GARBAGE)).then_some(())
    })
    .await;
}
