//! Declarations, and messages that expire.

use super::{
    super::{properties::Properties, properties_builder::PropertiesBuilder},
    client::Broker,
};
use amq_protocol::protocol::{AMQPClass, exchange};
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
