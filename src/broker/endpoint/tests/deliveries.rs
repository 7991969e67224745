//! What becomes of deliveries when connections end.

use super::{super::properties::Properties, client::Broker};
use crate::broker::Inbound;

/// The deliveries and returns that the bridge was told, in order: the count of each.
fn told(broker: &mut Broker) -> Vec<(&'static str, u32)> {
    let events = std::iter::from_fn(|| broker.events.try_recv().ok());
    let told = events.map(|event| match event {
        Inbound::Delivered { count, .. } => ("delivered", count),
        Inbound::CameBack { count, .. } => ("came back", count),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[tokio::test]
async fn a_lost_connection_is_one_failed_delivery_however_many_channels_consume() {
    let mut broker = Broker::new();
    let worker = broker.connect(131_072);
    for channel in 2..30 {
        worker.open_consumer(channel);
    }
    broker.add_task(Properties::default());
    worker.lose();
    assert_eq!(told(&mut broker), [("delivered", 0), ("came back", 1)]);
    let other = broker.connect(131_072);
    assert_eq!(other.consume("tasks", false), Ok(()));
    assert_eq!(told(&mut broker), [("delivered", 1)]);
}

#[tokio::test]
async fn a_connection_is_read_again_though_its_replies_were_dropped_without_an_answer() {
    let mut broker = Broker::new();
    let worker = broker.connect(131_072);
    for _ in 0..2 {
        for _ in 0..worker.most_open_replies() {
            assert!(!worker.must_pause());
            assert_eq!(
                worker.publish("activity-bridge.replies.1", Properties::default()),
                Ok(())
            );
        }
        assert!(worker.must_pause());
        while broker.events.try_recv().is_ok() {}
    }
    assert!(!worker.must_pause());
}
