//! Direct replies and confirms.

use super::{
    super::{properties::Properties, properties_builder::PropertiesBuilder},
    client::Broker,
};
use amq_protocol::protocol::{AMQPClass, basic};

const DIRECT: &str = "amq.rabbitmq.reply-to";

fn request() -> Properties {
    let properties = PropertiesBuilder::new().reply_to(DIRECT);
    properties.finish().expect("properties")
}

#[tokio::test]
async fn an_answer_to_a_direct_request_reaches_the_consumer_that_asked() {
    let broker = Broker::new();
    let (caller, server) = (broker.connect(131_072), broker.connect(131_072));
    assert_eq!(server.declare("requests", true), Ok(()));
    assert_eq!(server.consume("requests", true), Ok(()));
    assert_eq!(caller.consume(DIRECT, true), Ok(()));
    assert_eq!(caller.publish("requests", request()), Ok(()));
    let got = server.messages().await;
    let address = got[0].properties.reply_to().expect("an address");
    let address = String::from_utf8(address.to_vec()).expect("text");
    assert!(address.len() > DIRECT.len() + 16 && address.starts_with(DIRECT));
    assert_eq!(server.publish(&address, Properties::default()), Ok(()));
    assert_eq!(caller.messages().await.len(), 1);
}

#[tokio::test]
async fn a_direct_request_without_a_consumer_is_refused() {
    let broker = Broker::new();
    let caller = broker.connect(131_072);
    let refused = caller.publish("requests", request()).expect_err("refused");
    assert_eq!(refused.code, 406);
    let refused = caller.consume(DIRECT, false).expect_err("refused");
    assert_eq!(refused.code, 406);
    assert_eq!(caller.consume(DIRECT, true), Ok(()));
    let refused = caller.consume(DIRECT, true).expect_err("refused");
    assert_eq!(refused.code, 406);
}

#[tokio::test]
async fn the_messages_of_one_read_are_confirmed_together() {
    let broker = Broker::new();
    let client = broker.connect(131_072);
    client.select_confirms();
    for _ in 0..3 {
        let published = client.publish("nowhere", Properties::default());
        assert_eq!(published, Ok(()));
    }
    client.end_of_read();
    let ack = basic::AMQPMethod::Ack(basic::Ack {
        delivery_tag: 3,
        multiple: true,
    });
    assert_eq!(client.methods().await, [AMQPClass::Basic(ack)]);
}
