//! A worker, as a user's program would be one: it consumes, answers to `reply_to`, and acknowledges.

use super::{TEST_TIMEOUT, eventually};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
        BasicQosOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, LongString},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// A task's message as a worker sees it.
#[derive(Clone, Debug)]
pub struct TaskMessage {
    /// The body, as text.
    pub body: String,
    /// All properties.
    pub properties: BasicProperties,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
}

impl TaskMessage {
    /// Of a delivery.
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            body: String::from_utf8_lossy(&delivery.data).into_owned(),
            properties: delivery.properties.clone(),
            redelivered: delivery.redelivered,
        }
    }

    /// The task's id.
    pub fn id(&self) -> String {
        let id = self.properties.correlation_id().as_ref();
        id.expect("a correlation_id").to_string()
    }

    /// Where replies go.
    pub fn reply_to(&self) -> String {
        let reply_to = self.properties.reply_to().as_ref();
        reply_to.expect("a reply_to").to_string()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.properties.headers().as_ref()?;
        match headers.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            other => panic!("header {name} has a type that not every client reads: {other:?}"),
        }
    }
}

/// A reply to be sent.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The property `type`.
    pub kind: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
    /// Headers, as long strings.
    pub headers: Vec<(&'static str, String)>,
    /// Instead of the task's id; the empty text leaves it out.
    pub correlation_id: Option<String>,
    /// Instead of the default exchange.
    pub exchange: &'static str,
    /// Where the worker wants an answer.
    pub reply_to: Option<String>,
    /// Instead of the task's `reply_to`.
    pub to: Option<&'static str>,
}

impl Answer {
    /// The plainest reply: a body without a type.
    pub fn done(result: &str) -> Vec<Self> {
        vec![Self {
            body: result.into(),
            ..Self::default()
        }]
    }

    /// A reply of a type.
    pub fn of(kind: &'static str, body: &str) -> Self {
        Self {
            kind: Some(kind),
            body: body.into(),
            ..Self::default()
        }
    }

    /// With an address for an answer.
    pub fn asking(mut self, reply_to: &str) -> Self {
        self.reply_to = Some(reply_to.to_owned());
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Answering = Arc<dyn Fn(&TaskMessage) -> Vec<Answer> + Send + Sync>;

/// A worker that runs until it is dropped, and comes back when its connection goes.
pub struct Worker {
    seen: Arc<Mutex<Vec<TaskMessage>>>,
    running: JoinHandle<()>,
}

impl Worker {
    pub(super) async fn start(
        uri: &str,
        queue: &str,
        waits: bool,
        answer: impl Fn(&TaskMessage) -> Vec<Answer> + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (uri, queue) = (uri.to_owned(), queue.to_owned());
        let answering: Answering = Arc::new(answer);
        // The first connection is made here, so that the caller knows that it consumes. RabbitMQ may fail when the bridge
        // declares the same queue at the same moment.
        let first = match waits {
            true => {
                let connected = || async { consume(&uri, &queue).await.ok() };
                Some(eventually("the worker's connection", connected).await)
            }
            false => None,
        };
        let all = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            let mut connected = first;
            loop {
                if let Some(mut consumer) = connected.take() {
                    drop(work(&mut consumer, &answering, &all).await);
                }
                // However long that takes: the test has a limit of its own.
                connected = loop {
                    if let Ok(consumer) = consume(&uri, &queue).await {
                        break Some(consumer);
                    }
                    sleep(Duration::from_millis(100)).await;
                };
            }
        });
        Self { seen, running }
    }

    /// Every delivery so far, those of one task again included.
    pub fn seen(&self) -> Vec<TaskMessage> {
        self.seen.lock().expect("no panic holds it").clone()
    }

    /// Waits until so many deliveries were seen.
    pub async fn has_seen(&self, count: usize) -> Vec<TaskMessage> {
        eventually(&format!("{count} deliveries"), || async {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Consumer {
    _connection: Connection,
    channel: Channel,
    deliveries: lapin::Consumer,
}

/// How long to wait for an answer: a broker that dies or boots just then may never give one.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// The answer to a call, or an error. Which had none is said, for a failed test to show.
async fn answered<T>(what: &str, call: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    timeout(ANSWERED_WITHIN, call).await.unwrap_or_else(|_| {
        eprintln!("no answer to {what} within {ANSWERED_WITHIN:?}");
        Err(lapin::ErrorKind::MissingHeartbeatError.into())
    })
}

async fn consume(uri: &str, queue: &str) -> lapin::Result<Consumer> {
    let connecting = Connection::connect(uri, ConnectionProperties::default());
    let connection = answered("its connection", connecting).await?;
    let channel = answered("channel.open", connection.create_channel()).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    answered("confirm.select", confirms).await?;
    let qos = channel.basic_qos(50, BasicQosOptions::default());
    answered("basic.qos", qos).await?;
    let declared = declare_like_the_bridge(&connection, queue);
    answered("queue.declare", declared).await?;
    let options = BasicConsumeOptions::default();
    let table = FieldTable::default();
    let consuming = channel.basic_consume(queue.into(), "worker".into(), options, table);
    let deliveries = answered("basic.consume", consuming).await?;
    Ok(Consumer {
        _connection: connection,
        channel,
        deliveries,
    })
}

/// What the bridge declares a route's queue with.
pub fn arguments_of_the_bridge() -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", text("quorum")),
        (
            "x-dead-letter-exchange",
            text("activity-bridge.dead-letters"),
        ),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-delivery-limit", AMQPValue::LongLongInt(20)),
    ] {
        arguments.insert(name.into(), value);
    }
    arguments
}

/// Declares a queue like that, unless there is a queue of that name.
async fn declare_like_the_bridge(connection: &Connection, queue: &str) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    if channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await
        .is_ok()
    {
        return Ok(());
    }
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions::durable();
    channel
        .queue_declare(queue.into(), durable, arguments_of_the_bridge())
        .await
        .map(drop)
}

async fn work(
    consumer: &mut Consumer,
    answering: &Answering,
    seen: &Mutex<Vec<TaskMessage>>,
) -> lapin::Result<()> {
    while let Some(delivery) = next(consumer).await {
        let delivery = delivery?;
        let task = TaskMessage::of(&delivery);
        let answers = answering(&task);
        seen.lock().expect("no panic holds it").push(task.clone());
        for answer in answers {
            let sent = reply(&consumer.channel, &task, answer);
            answered("its reply", sent).await?;
        }
        let acked = delivery.ack(BasicAckOptions::default());
        answered("basic.ack", acked).await?;
    }
    Ok(())
}

/// The next delivery, or `None` where there will be no more.
async fn next(consumer: &mut Consumer) -> Option<lapin::Result<Delivery>> {
    loop {
        match timeout(Duration::from_secs(1), consumer.deliveries.next()).await {
            Ok(next) => return next,
            Err(_) if consumer.channel.status().connected() => {}
            Err(_) => {
                eprintln!("a worker's channel has gone, and its consumer did not say so");
                return None;
            }
        }
    }
}

/// Publishes a reply, and waits for the broker's confirm.
pub async fn reply(channel: &Channel, task: &TaskMessage, answer: Answer) -> lapin::Result<()> {
    let mut headers = FieldTable::default();
    for (name, value) in answer.headers {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    let mut properties = BasicProperties::default().with_headers(headers);
    match answer.correlation_id.unwrap_or_else(|| task.id()) {
        id if id.is_empty() => {}
        id => properties = properties.with_correlation_id(id.into()),
    }
    if let Some(kind) = answer.kind {
        properties = properties.with_type(kind.into());
    }
    if let Some(reply_to) = answer.reply_to {
        properties = properties.with_reply_to(reply_to.into());
    }
    let confirm = channel
        .basic_publish(
            answer.exchange.into(),
            answer
                .to
                .map_or_else(|| task.reply_to(), str::to_owned)
                .into(),
            BasicPublishOptions::default(),
            &answer.body,
            properties,
        )
        .await?;
    confirm.await.map(drop)
}

/// A connection that sends replies by hand, and reads queues.
pub struct Inbox {
    _connection: Connection,
    channel: Channel,
}

impl Inbox {
    /// Connects.
    pub async fn connect(uri: &str) -> Self {
        let connecting = Connection::connect(uri, ConnectionProperties::default());
        let connection = answered("a connection", connecting).await;
        let connection = connection.expect("a connection");
        let channel = answered("channel.open", connection.create_channel()).await;
        let channel = channel.expect("a channel");
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        let confirms = answered("confirm.select", confirms).await;
        confirms.expect("confirms");
        Self {
            _connection: connection,
            channel,
        }
    }

    /// The channel, for what only one test needs.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Replies to a task.
    pub async fn reply(&self, task: &TaskMessage, answer: Answer) {
        let sent = timeout(TEST_TIMEOUT, reply(&self.channel, task, answer)).await;
        sent.expect("in time").expect("the reply is taken");
    }

    /// The next message of a queue, if there is one just now.
    pub async fn get(&self, queue: &str) -> Option<TaskMessage> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options);
        let got = answered("basic.get", got).await;
        let got = got.expect("the queue can be read");
        got.map(|got| TaskMessage::of(&got.delivery))
    }

    /// Waits for the next message of a queue, and takes it.
    pub async fn next(&self, queue: &str) -> TaskMessage {
        eventually(&format!("a message in {queue}"), || self.get(queue)).await
    }

    /// Declares a queue of its own, and returns its name.
    pub async fn own_queue(&self) -> String {
        let exclusive = QueueDeclareOptions::exclusive();
        let declared = self
            .channel
            .queue_declare("".into(), exclusive, FieldTable::default());
        let queue = answered("queue.declare", declared).await;
        queue.expect("a queue").name().to_string()
    }

    /// Binds a queue of its own to an exchange, and returns the queue's name.
    pub async fn bind(&self, exchange: &str, routing_key: &str) -> String {
        let name = self.own_queue().await;
        let binding = self.channel.queue_bind(
            name.as_str().into(),
            exchange.into(),
            routing_key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        let bound = answered("queue.bind", binding).await;
        bound.expect("a binding");
        name
    }
}
