//! Messages whose properties do not fit into a frame of the worker.

use super::{
    super::{
        properties::Properties, properties_builder::PropertiesBuilder, table_builder::TableBuilder,
    },
    client::Broker,
};
use crate::broker::Inbound;

/// Properties that do not fit into a frame of 4,096 bytes.
fn large() -> Properties {
    let table = TableBuilder::new().text("x", "y".repeat(5_000));
    let properties = PropertiesBuilder::new().headers(table.finish().expect("a table"));
    properties.finish().expect("properties")
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_dropped_and_the_next_is_delivered() {
    let broker = Broker::new();
    let client = broker.connect(4_096);
    assert_eq!(client.declare("own", true), Ok(()));
    assert_eq!(client.consume("own", true), Ok(()));
    assert_eq!(client.publish("own", large()), Ok(()));
    assert_eq!(client.publish("own", Properties::default()), Ok(()));
    let got = client.messages().await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].properties, Properties::default());
    assert_eq!(broker.switch.with(|state| state.dropped), 1);
}

#[tokio::test]
async fn a_task_that_does_not_fit_becomes_a_dead_letter() {
    let mut broker = Broker::new();
    let client = broker.connect(4_096);
    assert_eq!(client.consume("tasks", false), Ok(()));
    let task = broker.add_task(large());
    assert_eq!(client.messages().await, []);
    let Ok(Inbound::DeadLetter(_, delivery)) = broker.events.try_recv() else {
        panic!("no dead letter");
    };
    assert_eq!(delivery.correlation_id, Some(task.reveal()));
    broker.add_task(Properties::default());
    assert_eq!(client.messages().await.len(), 1);
}
