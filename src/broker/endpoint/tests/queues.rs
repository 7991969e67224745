//! Declarations, and messages that expire.

use super::{
    super::{properties::Properties, properties_builder::PropertiesBuilder},
    client::{Broker, Client},
};
use amq_protocol::{
    protocol::{AMQPClass, basic, exchange, queue},
    types::AMQPValue,
};
use bytes::Bytes;
use std::time::Duration;

#[tokio::test]
async fn a_second_declaration_must_say_whether_the_queue_is_exclusive() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    assert_eq!(client.declare("own", true), Ok(()));
    assert_eq!(client.declare("own", true), Ok(()));
    let refused = client.declare("own", false).expect_err("refused");
    assert_eq!(refused.code, 405);
}

#[tokio::test]
async fn the_default_exchange_can_not_be_asked_for() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    let declare = exchange::AMQPMethod::Declare(exchange::Declare {
        passive: true,
        ..Default::default()
    });
    let refused = client.send(AMQPClass::Exchange(declare));
    assert_eq!(refused.expect_err("refused").code, 403);
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_is_not_delivered() {
    let expiring = PropertiesBuilder::new().expiration_ms(50).finish();
    let invalid = Properties::parse(Bytes::from_static(b"\x01\0\x04soon"));
    let broker = Broker::new();
    let client = broker.connect(131_072);
    assert_eq!(client.declare("own", true), Ok(()));
    let refused = client.publish("own", invalid.expect("properties"));
    assert_eq!(refused.expect_err("refused").code, 406);
    assert_eq!(client.publish("own", expiring.expect("properties")), Ok(()));
    assert_eq!(client.publish("own", Properties::default()), Ok(()));
    tokio::time::advance(Duration::from_millis(50)).await;
    assert_eq!(client.consume("own", true), Ok(()));
    let got = client.messages().await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].properties, Properties::default());
}

const MINUTE: Duration = Duration::from_secs(60);

fn plain() -> Properties {
    Properties::default()
}

#[tokio::test(start_paused = true)]
async fn a_queue_outlives_its_connection_until_nobody_has_used_it_for_ten_minutes() {
    let broker = Broker::new();
    let maker = broker.connect(131_072);
    assert_eq!(maker.declare_with("shared", &[]), Ok(()));
    broker.wait(60 * MINUTE).await;
    assert!(maker.has_queue("shared"), "its connection lives");
    maker.lose();
    let other = broker.connect(131_072);
    broker.wait(9 * MINUTE).await;
    assert_eq!(other.publish("shared", plain()), Ok(()));
    broker.wait(9 * MINUTE).await;
    assert_eq!(other.get("shared"), Ok(()));
    assert_eq!(other.messages().await.len(), 1);
    broker.wait(9 * MINUTE).await;
    assert_eq!(other.consume("shared", true), Ok(()));
    broker.wait(60 * MINUTE).await;
    assert!(other.has_queue("shared"), "somebody consumes");
    other.lose();
    broker.wait(10 * MINUTE - Duration::from_millis(1)).await;
    assert!(other.has_queue("shared"));
    broker.wait(Duration::from_millis(1)).await;
    assert!(!other.has_queue("shared"));
    let passive = queue::Declare {
        queue: "shared".into(),
        passive: true,
        ..Default::default()
    };
    let refused = broker.connect(131_072).declare_queue(passive);
    assert_eq!(refused.expect_err("gone").code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_outlived_its_connection_belongs_to_the_next_that_declares_it() {
    let broker = Broker::new();
    let first = broker.connect(131_072);
    assert_eq!(first.declare_with("shared", &[]), Ok(()));
    first.lose();
    let second = broker.connect(131_072);
    assert_eq!(second.declare_with("shared", &[]), Ok(()));
    broker.wait(60 * MINUTE).await;
    assert!(second.has_queue("shared"));
    second.lose();
    broker.wait(10 * MINUTE).await;
    assert!(!second.has_queue("shared"));
}

#[tokio::test(start_paused = true)]
async fn an_auto_delete_queue_waits_for_its_first_consumer_as_long_as_any_other() {
    let broker = Broker::new();
    let declare = |client: &Client| {
        let declare = queue::Declare {
            queue: "waits".into(),
            auto_delete: true,
            ..Default::default()
        };
        assert_eq!(client.declare_queue(declare), Ok(()));
    };
    let first = broker.connect(131_072);
    declare(&first);
    first.lose();
    broker.wait(9 * MINUTE).await;
    let second = broker.connect(131_072);
    declare(&second);
    broker.wait(60 * MINUTE).await;
    assert!(second.has_queue("waits"), "its connection lives");
    second.lose();
    broker.wait(10 * MINUTE).await;
    assert!(!second.has_queue("waits"));
    let third = broker.connect(131_072);
    declare(&third);
    assert_eq!(third.consume("waits", true), Ok(()));
    third.lose();
    assert!(!third.has_queue("waits"), "its last consumer has ended");
}

/// Otherwise a crashed worker's queue would stay as long as tasks are canceled.
#[tokio::test(start_paused = true)]
async fn an_announcement_of_the_bridge_is_no_use_of_a_queue() {
    let broker = Broker::new();
    let maker = broker.connect(131_072);
    assert_eq!(maker.declare_with("cancels", &[]), Ok(()));
    let bind = queue::AMQPMethod::Bind(queue::Bind {
        queue: "cancels".into(),
        exchange: "activity-bridge.control".into(),
        routing_key: "#".into(),
        ..Default::default()
    });
    assert_eq!(maker.send(AMQPClass::Queue(bind)), Ok(()));
    maker.lose();
    broker.wait(9 * MINUTE).await;
    assert_eq!(broker.announce(), 1);
    broker.wait(MINUTE).await;
    assert_eq!(broker.announce(), 0);
}

#[tokio::test]
async fn queues_that_outlive_their_connection_are_bounded_for_all_connections() {
    let broker = Broker::new();
    let client = || broker.connect(131_072);
    for number in 0..16 {
        let maker = client();
        for other in 0..64.min(1_000 - number * 64) {
            let name = format!("q{}", number * 64 + other);
            assert_eq!(maker.declare_with(&name, &[]), Ok(()));
        }
    }
    let refused = client().declare_with("one-more", &[]).expect_err("full");
    assert_eq!(refused.code, 506);
    assert!(
        refused.text.contains("more than 1000 queues"),
        "{}",
        refused.text
    );
    assert_eq!(client().declare("exclusive", true), Ok(()));
    let delete = queue::AMQPMethod::Delete(queue::Delete {
        queue: "q7".into(),
        ..Default::default()
    });
    assert_eq!(client().send(AMQPClass::Queue(delete)), Ok(()));
    assert_eq!(client().declare_with("one-more", &[]), Ok(()));
}

#[tokio::test]
async fn a_second_declaration_must_repeat_flags_and_arguments_of_an_own_queue_alone() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    let ttl = |millis| [("x-message-ttl", AMQPValue::LongInt(millis))];
    assert_eq!(client.declare_with("own", &ttl(500)), Ok(()));
    assert_eq!(client.declare_with("own", &ttl(500)), Ok(()));
    let refused = client.declare_with("own", &ttl(501)).expect_err("another");
    assert_eq!(
        refused.text,
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'own' in vhost '/': received '501' but current is '500'"
    );
    let auto_delete = queue::Declare {
        queue: "own".into(),
        auto_delete: true,
        ..Default::default()
    };
    let refused = client.declare_queue(auto_delete).expect_err("another");
    assert_eq!(
        refused.text,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'own' in vhost '/': received 'true' but current is 'false'"
    );
    let dead_letters = [("x-dead-letter-exchange", AMQPValue::LongString("x".into()))];
    assert_eq!(client.declare_with("tasks", &dead_letters), Ok(()));
    let refused = client.declare_with("new", &dead_letters).expect_err("none");
    assert_eq!(refused.code, 540);
}

#[tokio::test(start_paused = true)]
async fn x_expires_ends_a_queue_that_nobody_uses() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    let second = [("x-expires", AMQPValue::LongInt(1_000))];
    assert_eq!(client.declare_with("short", &second), Ok(()));
    assert_eq!(client.consume("short", true), Ok(()));
    broker.wait(MINUTE).await;
    assert!(client.has_queue("short"), "somebody consumes");
    let other = broker.connect(131_072);
    client.lose();
    broker.wait(Duration::from_millis(999)).await;
    assert!(other.has_queue("short"));
    assert_eq!(other.declare_with("short", &second), Ok(()));
    broker.wait(Duration::from_millis(999)).await;
    assert!(other.has_queue("short"), "it was declared");
    broker.wait(Duration::from_millis(1)).await;
    assert!(!other.has_queue("short"), "although its connection lives");
}

#[tokio::test(start_paused = true)]
async fn x_message_ttl_and_an_expiration_of_zero_bound_the_time_of_a_message() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    let ttl = |millis| [("x-message-ttl", AMQPValue::LongInt(millis))];
    assert_eq!(client.declare_with("short", &ttl(50)), Ok(()));
    assert_eq!(client.declare_with("now", &ttl(0)), Ok(()));
    assert_eq!(client.publish("short", plain()), Ok(()));
    assert_eq!(client.publish("now", plain()), Ok(()));
    tokio::time::advance(Duration::from_millis(50)).await;
    assert_eq!(client.consume("short", true), Ok(()));
    assert_eq!(client.consume("now", true), Ok(()));
    assert_eq!(client.messages().await.len(), 0);
    assert_eq!(client.publish("now", plain()), Ok(()));
    assert_eq!(client.messages().await.len(), 1, "somebody consumes");
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_or_refuses_as_it_was_declared() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    client.select_confirms();
    let two = ("x-max-length", AMQPValue::LongInt(2));
    let refuse = ("x-overflow", AMQPValue::LongString("reject-publish".into()));
    assert_eq!(
        client.declare_with("drops", std::slice::from_ref(&two)),
        Ok(())
    );
    assert_eq!(client.declare_with("refuses", &[two, refuse]), Ok(()));
    for queue in ["drops", "refuses"] {
        client.methods().await;
        for _ in 0..3 {
            assert_eq!(client.publish(queue, plain()), Ok(()));
            client.end_of_read();
        }
        let nacks = client
            .methods()
            .await
            .into_iter()
            .filter(|method| matches!(method, AMQPClass::Basic(basic::AMQPMethod::Nack(_))));
        assert_eq!(nacks.count(), usize::from(queue == "refuses"));
        assert_eq!(client.consume(queue, true), Ok(()));
        assert_eq!(client.messages().await.len(), 2, "{queue}");
    }
}

#[tokio::test]
async fn of_a_single_active_consumer_the_oldest_gets_all() {
    let broker = Broker::new();
    let clients = [broker.connect(131_072), broker.connect(131_072)];
    let single = [("x-single-active-consumer", AMQPValue::Boolean(true))];
    for client in &clients {
        client.set_prefetch(4);
        assert_eq!(client.declare_with("single", &single), Ok(()));
        assert_eq!(client.consume("single", false), Ok(()));
    }
    for _ in 0..6 {
        assert_eq!(clients[1].publish("single", plain()), Ok(()));
    }
    assert_eq!(clients[0].messages().await.len(), 4);
    assert_eq!(clients[1].messages().await.len(), 0);
    clients[0].cancel();
    assert_eq!(clients[1].messages().await.len(), 2, "what waited");
    clients[0].lose();
    assert_eq!(clients[1].messages().await.len(), 2, "up to its prefetch");
}

/// Otherwise it would take the place of a message that waits.
#[tokio::test]
async fn a_message_of_a_queue_that_has_ended_does_not_come_back_into_one_of_the_same_name() {
    let broker = Broker::new();
    let (holder, other) = (broker.connect(131_072), broker.connect(131_072));
    assert_eq!(other.declare_with("jobs", &[]), Ok(()));
    assert_eq!(other.publish("jobs", plain()), Ok(()));
    assert_eq!(holder.get_for_ack("jobs"), Ok(()));
    assert_eq!(holder.messages().await.len(), 1);
    other.delete("jobs");
    assert_eq!(other.declare_with("jobs", &[]), Ok(()));
    let new = PropertiesBuilder::new().expiration_ms(60_000).finish();
    let new = new.expect("properties");
    assert_eq!(other.publish("jobs", new.clone()), Ok(()));
    holder.lose();
    assert_eq!(other.consume("jobs", true), Ok(()));
    let got = other.messages().await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].properties, new);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_an_expiration_of_zero_that_is_returned_has_expired() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    let now = [("x-message-ttl", AMQPValue::LongInt(0))];
    assert_eq!(client.declare_with("now", &now), Ok(()));
    assert_eq!(client.consume("now", false), Ok(()));
    assert_eq!(client.publish("now", plain()), Ok(()));
    assert_eq!(client.messages().await.len(), 1);
    broker.wait(Duration::from_millis(1)).await;
    client.lose();
    let other = broker.connect(131_072);
    assert_eq!(other.consume("now", true), Ok(()));
    assert_eq!(other.messages().await.len(), 0);
}

/// Workers that crash in a loop must not keep others from a queue.
#[tokio::test(start_paused = true)]
async fn where_too_many_queues_are_kept_the_one_that_was_unused_for_the_longest_time_makes_room() {
    let broker = Broker::new();
    broker.switch.with(|state| state.limits.kept_queues = 2);
    let first = broker.connect(131_072);
    assert_eq!(first.declare_with("a", &[]), Ok(()));
    broker.wait(MINUTE).await;
    assert_eq!(first.declare_with("b", &[]), Ok(()));
    let second = broker.connect(131_072);
    let refused = second.declare_with("c", &[]).expect_err("both are used");
    assert_eq!(refused.code, 506);
    first.lose();
    broker.wait(MINUTE).await;
    assert_eq!(second.publish("a", plain()), Ok(()));
    assert_eq!(second.declare_with("c", &[]), Ok(()));
    let left = ["a", "b", "c"].map(|name| second.has_queue(name));
    assert_eq!(left, [true, false, true]);
}
