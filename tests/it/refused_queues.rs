//! What RabbitMQ says of a queue that the bridge can't declare, and what the bridge makes of it.

use crate::{
    harness::{Inbox, Route, World, put},
    isolation::{Other, PARKED},
};
use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;

/// RabbitMQ 4 drops a message after 20 deliveries, unless its queue says otherwise.
#[tokio::test]
async fn the_parking_queue_has_a_delivery_limit_that_stands_for_none() {
    let world = World::new().await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    for (limit, is_same) in [
        (Some(1_000_000_000), true),
        (Some(20), false),
        (None, false),
    ] {
        let mut arguments = FieldTable::default();
        let quorum = AMQPValue::LongString("quorum".into());
        arguments.insert("x-queue-type".into(), quorum);
        if let Some(limit) = limit {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
        }
        // An error closes the channel.
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let durable = QueueDeclareOptions::durable();
        let declared = inbox
            .channel()
            .queue_declare(PARKED.into(), durable, arguments);
        let declared = declared.await.map(drop).map_err(|error| error.to_string());
        match declared {
            Ok(()) => assert!(is_same, "{limit:?} was accepted"),
            Err(error) => assert!(!is_same && error.contains("x-delivery-limit"), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_limit_of_queues_is_told_in_the_brokers_words_and_leaves_other_routes_alone() {
    let world = World::new().await;
    let api = std::env::var("RABBITMQ_API").expect("the harness has looked already");
    // There is room for the other route's queue, and for the bridge's own two.
    let other = Other::in_world(&world).await;
    let url = format!("{api}/api/vhost-limits/{}/max-queues", world.vhost());
    put(&url, &json!({"value": 3})).await;
    let bridge = world
        .bridge(&[Route::new("payments"), Route::new("mails")])
        .await;
    bridge.route_is("payments", "queue limit").await;
    let (ready, state) = bridge.route("payments").await;
    assert!(
        !ready && state.contains("the broker refuses the queue \"payments\""),
        "{state}"
    );
    assert!(!state.contains("other arguments"), "{state}");
    other.goes_on().await;

    put(&url, &json!({"value": 4})).await;
    bridge.route_is("payments", "waiting for a consumer").await;
    assert!(!bridge.log().contains("no connection to the broker"));
}

#[tokio::test]
async fn an_exclusive_queue_of_another_connection_is_named_and_leaves_other_routes_alone() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for queue in ["payments", "letters"] {
        let exclusive = QueueDeclareOptions::exclusive();
        let declared =
            inbox
                .channel()
                .queue_declare(queue.into(), exclusive, FieldTable::default());
        declared.await.expect("declared");
    }
    let other = Other::in_world(&world).await;
    let letters = Route::new("letters").with("declare = false");
    let bridge = world
        .bridge(&[Route::new("payments"), letters, Route::new("mails")])
        .await;
    for queue in ["payments", "letters"] {
        let words = format!("the queue {queue:?} is exclusive to another connection");
        bridge.route_is(queue, &words).await;
        assert!(!bridge.route(queue).await.0);
    }
    other.goes_on().await;
    // The queues go with their connection.
    drop(inbox);
    bridge.route_is("payments", "waiting for a consumer").await;
    assert!(!bridge.log().contains("no connection to the broker"));
}
