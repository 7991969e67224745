//! A worker by hand, on a bridge that is the broker.

use crate::harness::{Answer, BridgeProcess, HOLD, Route, Source, TaskMessage, World, reply};
use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Consumer, Event,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use std::time::Duration;
use tokio::time::timeout;

/// The name of the route, its queue and its task list or activity.
pub(super) const PAYMENTS: &str = "payments";

/// Deadline for what comes soon.
const SOON: Duration = Duration::from_secs(30);

/// A bridge that is the broker, with one route.
pub(super) struct Place {
    pub(super) world: World,
    pub(super) bridge: BridgeProcess,
}

impl Place {
    /// With these settings of the route, as lines of TOML.
    pub(super) async fn with(source: Source, settings: &str) -> Self {
        let world = World::of_the_endpoint(HOLD).await.of(source);
        let route = Route::new(PAYMENTS).plain_acks().with(settings);
        let bridge = world.bridge(&[route]).await;
        Self { world, bridge }
    }

    /// A consumer with this prefetch.
    pub(super) async fn consumer(&self, prefetch: u16) -> Client {
        Client::consuming(&self.world.amqp_uri, prefetch).await
    }
}

/// A connection with a channel in confirm mode, and a consumer.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    consumer: Consumer,
}

impl Client {
    /// Connects, and consumes from the route's queue.
    pub(super) async fn consuming(uri: &str, prefetch: u16) -> Self {
        let connected = Connection::connect(uri, ConnectionProperties::default());
        Self::on(connected.await.expect("a connection"), prefetch).await
    }

    /// Consumes from the route's queue, on a connection.
    pub(super) async fn on(connection: Connection, prefetch: u16) -> Self {
        let channel = connection.create_channel().await.expect("a channel");
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.expect("confirms");
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        qos.await.expect("a prefetch");
        let consuming = channel.basic_consume(
            PAYMENTS.into(),
            "by-hand".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = consuming.await.expect("a consumer");
        Self {
            connection,
            channel,
            consumer,
        }
    }

    /// A consumer of another queue, on the same channel.
    pub(super) async fn reading(&self, queue: &str) -> Reader {
        let consuming = self.channel.basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        Reader(consuming.await.expect("a consumer"))
    }

    /// The number of messages that wait in a queue. All that this client sent before has been read by then.
    pub(super) async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .channel
            .queue_declare(queue.into(), passive, FieldTable::default());
        declared.await.expect("there").message_count()
    }

    /// The next delivery.
    pub(super) async fn next(&mut self) -> (TaskMessage, Delivery) {
        next(&mut self.consumer).await
    }

    /// Whether nothing is delivered for this time.
    pub(super) async fn gets_nothing(&mut self, time: Duration) -> bool {
        timeout(time, self.consumer.next()).await.is_err()
    }

    /// The error with which the connection ends.
    pub(super) fn end(&self) -> impl Future<Output = String> {
        let mut events = Box::pin(self.connection.events_listener());
        async move {
            let error = async {
                loop {
                    if let Some(Event::Error(error)) = events.next().await {
                        return error.to_string();
                    }
                }
            };
            timeout(SOON, error).await.expect("the connection ends")
        }
    }

    /// Whether the consumer got nothing before its connection ended.
    pub(super) async fn was_given_nothing(&mut self) -> bool {
        let next = timeout(SOON, self.consumer.next()).await;
        !matches!(next.expect("the connection ends"), Some(Ok(_)))
    }

    /// Replies, and waits for the confirm.
    pub(super) async fn says(&self, task: &TaskMessage, answer: Answer) {
        let sent = timeout(SOON, reply(&self.channel, task, answer)).await;
        sent.expect("a confirm in time").expect("a confirm");
    }
}

/// A consumer.
pub(super) struct Reader(Consumer);

impl Reader {
    /// The next delivery.
    pub(super) async fn next(&mut self) -> (TaskMessage, Delivery) {
        next(&mut self.0).await
    }
}

async fn next(consumer: &mut Consumer) -> (TaskMessage, Delivery) {
    let next = timeout(SOON, consumer.next()).await;
    let delivery = next
        .expect("a delivery in time")
        .expect("the consumer lives");
    let delivery = delivery.expect("a delivery");
    (TaskMessage::of(&delivery), delivery)
}

/// Acknowledges a delivery.
pub(super) async fn ack(delivery: &Delivery) {
    let acked = delivery.acker.ack(BasicAckOptions::default()).await;
    assert!(acked.expect("it is sent"));
}

/// Returns a delivery by `basic.nack`.
pub(super) async fn nack(delivery: &Delivery, requeue: bool) {
    let options = BasicNackOptions {
        requeue,
        ..BasicNackOptions::default()
    };
    let nacked = delivery.acker.nack(options).await;
    assert!(nacked.expect("it is sent"));
}
