//! A broker that takes no messages because its memory is short: what the bridge says, and what it does not send later.

use crate::harness::{Answer, HOLD, Inbox, Node, Route, World};
use lapin::{
    ExchangeKind,
    options::{BasicGetOptions, BasicRejectOptions, ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

const BLOCKED: &str = "the broker takes no messages";

/// The broker blocks a connection when it next publishes, which is when a task comes.
async fn block(node: &Node, world: &World) {
    node.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    world.schedule("payments", 5);
}

async fn unblock(node: &Node) {
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
}

/// A broker that is blocked opens no channel either.
#[tokio::test]
async fn a_route_whose_exchange_comes_while_the_broker_is_blocked_says_that_it_is_blocked() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let _worker = world.worker("payments", |_| Vec::new()).await;
    let shop = Route::new("shop").without_queue();
    let shop = shop.with(
        "exchange = \"orders\"\nrouting_key = \"{task_list}\"\npoll_without_consumers = true",
    );
    let bridge = world.bridge(&[Route::new("payments"), shop]).await;
    bridge.route_is("shop", "create it").await;
    bridge.route_is("payments", "polling").await;
    block(&node, &world).await;
    bridge.route_is("payments", BLOCKED).await;

    let inbox = Inbox::connect(&world.amqp_uri).await;
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let topic = ExchangeKind::Topic;
    let declared =
        inbox
            .channel()
            .exchange_declare("orders".into(), topic, options, FieldTable::default());
    declared.await.expect("declared");
    bridge.route_is("shop", BLOCKED).await;
    unblock(&node).await;
    bridge.route_is("shop", "polling").await;
    bridge.route_is("payments", "polling").await;
}

/// A client can't publish now, but it can reject. What it rejects from this queue is a heartbeat in the reply queue.
async fn declare_rejected(inbox: &Inbox, reply_queue: &str) {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(reply_queue));
    let exclusive = QueueDeclareOptions::exclusive();
    let declared = inbox
        .channel()
        .queue_declare("rejected".into(), exclusive, arguments);
    declared.await.expect("declared");
}

#[tokio::test]
async fn an_answer_that_timed_out_while_the_broker_was_blocked_is_not_sent_later() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 2);
    let tasks = worker.has_seen(2).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let own = inbox.own_queue().await;
    declare_rejected(&inbox, &tasks[0].reply_to()).await;
    let question = Answer {
        to: Some("rejected"),
        ..Answer::of("heartbeat", "").asking(&own)
    };
    inbox.reply(&tasks[0], question).await;

    block(&node, &world).await;
    bridge.route_is("payments", BLOCKED).await;
    let options = BasicGetOptions { no_ack: false };
    let got = inbox.channel().basic_get("rejected".into(), options).await;
    let got = got.expect("the queue can be read").expect("a message");
    let options = BasicRejectOptions { requeue: false };
    got.reject(options).await.expect("rejected");
    bridge
        .logged("a heartbeat could not be answered in time")
        .await;

    unblock(&node).await;
    bridge.route_is("payments", "polling").await;
    let question = Answer::of("heartbeat", "").asking(&own);
    inbox.reply(&tasks[1], question).await;
    let answer = inbox.next(&own).await;
    assert_eq!(answer.id(), tasks[1].id(), "the late one came");
    assert!(
        inbox.get(&own).await.is_none(),
        "the late one came after it"
    );
}
