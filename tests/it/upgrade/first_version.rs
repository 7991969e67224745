//! What the first version with token stores leaves behind: its queues and exchanges in RabbitMQ, messages in them, and records.
//! All of it is written here as that version wrote it, and must not follow later versions.

use crate::harness::{DOMAIN, Inbox, Store, World, eventually, http, unix_ms};
use activity_sim::{Schedule, Timeouts};
use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::{
        BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use std::time::Duration;

pub const PAYMENTS: &str = "payments";

pub const PARKING_QUEUE: &str = "activity-bridge.parked";

const DEAD_LETTERS: &str = "activity-bridge.dead-letters";

const UNCLAIMED: &str = "activity-bridge.unclaimed";

const NO_LIMIT: i64 = 1_000_000_000;

/// The id of its store, which its reply queue is named by.
const INSTANCE: &str = "075fd1e470c2a468db6d8976b2967fc4";

/// The process that had the tasks in Redis.
const OWNER: &str = "bba07b8a3755f884dd9acd8a72ec6fbb";

/// The heartbeat timeout of the tasks: time enough for the next version to have them.
const HEARTBEAT: Duration = Duration::from_secs(60);

type Key = (u64, u128);

/// A task that it had.
pub struct LeftTask {
    /// The bridge's id.
    pub id: String,
    /// The simulator's id.
    pub activity_id: String,
    token: String,
    input: String,
    polled_at: u64,
    /// Whether RabbitMQ had confirmed its message.
    pub published: bool,
    /// Whether a worker had begun.
    pub begun: bool,
}

/// The process, which has been killed.
pub struct FirstVersion<'w> {
    world: &'w World,
    inbox: Inbox,
    reply_queue: String,
}

impl<'w> FirstVersion<'w> {
    /// Declares its queues and exchanges. `arguments`: those of the route's queue.
    pub async fn with_queue(world: &'w World, arguments: FieldTable) -> Self {
        let first = Self {
            world,
            inbox: Inbox::connect(&world.amqp_uri).await,
            reply_queue: format!("activity-bridge.replies.{INSTANCE}"),
        };
        first.declare_exchanges().await;
        let quorum = table([("x-queue-type", text("quorum"))]);
        first.declare(PARKING_QUEUE, quorum).await;
        let week = Duration::from_secs(7 * 24 * 60 * 60).as_millis();
        let replies = table([
            ("x-queue-type", text("quorum")),
            ("x-expires", AMQPValue::LongLongInt(week as i64)),
            ("x-delivery-limit", AMQPValue::LongLongInt(NO_LIMIT)),
        ]);
        first.declare(&first.reply_queue, replies).await;
        first.declare(PAYMENTS, arguments).await;
        let ours = table([
            ("x-match", text("all")),
            ("reply-queue", text(&first.reply_queue)),
        ]);
        first
            .bind("activity-bridge.replies", FieldTable::default())
            .await;
        first.bind(DEAD_LETTERS, ours).await;
        first
    }

    /// The same with the route's queue as a route declares it that says nothing of it.
    pub async fn new(world: &'w World) -> Self {
        Self::with_queue(world, queue_arguments(true, 20)).await
    }

    fn channel(&self) -> &Channel {
        self.inbox.channel()
    }

    async fn declare_exchanges(&self) {
        for (name, kind, alternate) in [
            ("activity-bridge.control", ExchangeKind::Topic, None),
            ("activity-bridge.replies", ExchangeKind::Direct, None),
            (DEAD_LETTERS, ExchangeKind::Headers, Some(UNCLAIMED)),
            (UNCLAIMED, ExchangeKind::Fanout, None),
        ] {
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let alternate = alternate.map(|name| ("alternate-exchange", text(name)));
            let arguments = table(alternate);
            let declared = self
                .channel()
                .exchange_declare(name.into(), kind, options, arguments);
            declared.await.expect("declared");
        }
    }

    async fn declare(&self, queue: &str, arguments: FieldTable) {
        let durable = QueueDeclareOptions::durable();
        let declared = self
            .channel()
            .queue_declare(queue.into(), durable, arguments);
        declared.await.expect("declared");
    }

    async fn bind(&self, exchange: &str, arguments: FieldTable) {
        let queue = &*self.reply_queue;
        let options = QueueBindOptions::default();
        let bound = self.channel().queue_bind(
            queue.into(),
            exchange.into(),
            queue.into(),
            options,
            arguments,
        );
        bound.await.expect("bound");
    }

    /// Polls a task from AWS.
    pub async fn poll(&self, published: bool, begun: bool) -> LeftTask {
        let input = json!({"published": published, "begun": begun}).to_string();
        let activity_id = self.world.sim.schedule(Schedule {
            input: Some(input.clone()),
            timeouts: Timeouts {
                heartbeat: Some(HEARTBEAT),
                ..Timeouts::default()
            },
            ..self.world.plain(PAYMENTS)
        });
        let poll = json!({"domain": DOMAIN, "taskList": {"name": PAYMENTS}});
        let answer = http()
            .post(self.world.sim.url())
            .header("X-Amz-Target", "SimpleWorkflowService.PollForActivityTask")
            .json(&poll)
            .send()
            .await;
        let task: Value = answer.expect("an answer").json().await.expect("JSON");
        let token = task["taskToken"].as_str().expect("a token");
        LeftTask {
            id: activity_bridge::task::TaskId::random().reveal(),
            activity_id: activity_id.into_iter().next().expect("an id"),
            token: token.to_owned(),
            input,
            polled_at: unix_ms(),
            published,
            begun,
        }
    }

    /// Publishes a task's message.
    pub async fn publish(&self, task: &LeftTask) {
        let headers = table([("reply-queue", text(&self.reply_queue))]);
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_type("charge".into())
            .with_message_id((&*task.id).into())
            .with_correlation_id((&*task.id).into())
            .with_reply_to((&*self.reply_queue).into())
            .with_app_id("activity-bridge".into())
            .with_headers(headers);
        self.send(PAYMENTS, &task.input, properties).await;
    }

    /// A worker replies to a task. The body is the result, or the reason of a failure too.
    pub async fn reply(&self, task: &LeftTask, kind: &str, body: &str) {
        let properties = BasicProperties::default()
            .with_correlation_id((&*task.id).into())
            .with_type(kind.into())
            .with_headers(table([("reason", text(body))]));
        self.send(&self.reply_queue, body, properties).await;
    }

    /// Parks a reply.
    pub async fn park(&self, body: &str) {
        let headers = table([("parked-because", text("no task of this bridge"))]);
        let properties = BasicProperties::default().with_headers(headers);
        self.send(PARKING_QUEUE, body, properties).await;
    }

    async fn send(&self, queue: &str, body: &str, properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let sent = self.channel().basic_publish(
            "".into(),
            queue.into(),
            options,
            body.as_bytes(),
            properties,
        );
        let confirm = sent.await.expect("sent");
        confirm.await.expect("confirmed");
    }

    /// A worker rejects the task that is first in the queue. Its dead letter waits among the replies.
    pub async fn reject_first(&self) {
        let before = self.waiting_replies().await;
        let delivery = eventually("the task", || async {
            let options = BasicGetOptions { no_ack: false };
            let got = self.channel().basic_get(PAYMENTS.into(), options).await;
            got.expect("the queue can be read")
        })
        .await;
        let options = BasicRejectOptions { requeue: false };
        delivery.reject(options).await.expect("rejected");
        eventually("the dead letter", || async {
            (self.waiting_replies().await > before).then_some(())
        })
        .await;
    }

    /// The number of replies that wait in its reply queue.
    pub async fn waiting_replies(&self) -> u32 {
        let passive = QueueDeclareOptions::durable().passive();
        let queue = (&*self.reply_queue).into();
        let declared = self
            .channel()
            .queue_declare(queue, passive, FieldTable::default());
        declared.await.expect("it is there").message_count()
    }

    /// Writes the records of its tasks.
    pub async fn keep(&self, store: Store, tasks: &[&LeftTask]) {
        match store {
            Store::Memory => {}
            Store::File => self.keep_in_file(tasks),
            Store::Redis => self.keep_in_redis(tasks).await,
        }
    }

    fn keep_in_file(&self, tasks: &[&LeftTask]) {
        const RECORDS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("records");
        const MESSAGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("messages");
        const ENDED: TableDefinition<'_, u64, u128> = TableDefinition::new("ended");
        const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
        let database = Database::create(self.world.dir().join("tasks.redb")).expect("a file");
        let write = database.begin_write().expect("a transaction");
        {
            let mut records = write.open_table(RECORDS).expect("a table");
            let mut messages = write.open_table(MESSAGES).expect("a table");
            let mut meta = write.open_table(META).expect("a table");
            write.open_table(ENDED).expect("a table");
            for (number, task) in (0..).zip(tasks) {
                let key = (number, u128::from_str_radix(&task.id, 16).expect("an id"));
                let record = json!({
                    "route": PAYMENTS, "token": task.token, "polled_at": task.polled_at,
                    "heartbeat": {"after": 60_000}, "start_to_close": "never",
                    "published": task.published, "begun": task.begun,
                });
                let record = record.to_string();
                records.insert(key, record.as_bytes()).expect("inserted");
                if !task.published {
                    let message = task.message();
                    messages.insert(key, message.as_bytes()).expect("inserted");
                }
            }
            meta.insert("schema", "1").expect("inserted");
            meta.insert("instance", INSTANCE).expect("inserted");
        }
        write.commit().expect("written");
    }

    async fn keep_in_redis(&self, tasks: &[&LeftTask]) {
        let mut redis = self.world.redis().await;
        let prefix = self.world.prefix();
        let mut all = redis::pipe();
        all.set(format!("{prefix}:instance"), INSTANCE);
        all.sadd(format!("{prefix}:owners"), OWNER);
        for task in tasks {
            let key = format!("{prefix}:task:{{{}}}", task.id);
            let timeouts = r#"{"heartbeat":{"after":60000},"start_to_close":"never"}"#;
            let fields = [
                ("owner", OWNER),
                ("route", PAYMENTS),
                ("token", &task.token),
                ("polled_at", &task.polled_at.to_string()),
                ("timeouts", timeouts),
            ];
            all.hset_multiple(&key, &fields);
            match task.published {
                true => all.hset(&key, "published", 1),
                false => all.hset(&key, "message", task.message()),
            };
            if task.begun {
                all.hset(&key, "begun", 1);
            }
            all.sadd(format!("{prefix}:owner:{{{OWNER}}}:tasks"), &task.id);
        }
        let written: redis::RedisResult<()> = all.query_async(&mut redis).await;
        written.expect("written");
    }
}

impl LeftTask {
    /// What is to be published of it.
    fn message(&self) -> String {
        let message = json!({
            "activity": "charge", "headers": [["domain", DOMAIN], ["task-list", PAYMENTS]], "input": self.input,
        });
        message.to_string()
    }
}

/// The arguments of a route's queue.
pub fn queue_arguments(dead_letters: bool, delivery_limit: i64) -> FieldTable {
    let mut arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(delivery_limit)),
    ];
    if dead_letters {
        arguments.extend([
            ("x-dead-letter-exchange", text(DEAD_LETTERS)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
    }
    table(arguments)
}

/// The delivery limit of a queue without dead letters.
pub fn without_dead_letters() -> FieldTable {
    queue_arguments(false, NO_LIMIT)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table(arguments: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}
