//! The floor: what no bridge over the same crates can do without, and nothing else.
//!
//! Polls in a loop, publishes what they bring (mandatory, persistent, confirmed, with the message that the bridge
//! would send), and for each reply completes the task and acknowledges. The AWS clients are configured by the
//! bridge's own code; the bounds are the bridge's: so many open polls, so many tasks in entry, publishing and
//! consuming on a connection each. There is no error handling: the first error ends the process.
//!
//!     floor AMQP_URI QUEUE DOMAIN TASK_LIST POLLERS MAX_IN_FLIGHT

use activity_bridge::source::aws::{self, AwsConfig};
use anyhow::{Context, ensure};
use aws_sdk_swf::{
    Client, operation::poll_for_activity_task::PollForActivityTaskOutput, types::TaskList,
};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the loops share.
struct Floor {
    poll: Client,
    respond: Client,
    tasks: Channel,
    queue: String,
    reply_to: String,
    domain: String,
    task_list: String,
    slots: Arc<Semaphore>,
    /// The token of each task in entry, and its slot, by the correlation id.
    tokens: Mutex<HashMap<String, (String, OwnedSemaphorePermit)>>,
    next_id: AtomicU64,
}

fn main() -> anyhow::Result<()> {
    // One thread, as the bridge has.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [uri, queue, domain, task_list, pollers, in_flight] = args.as_slice() else {
        anyhow::bail!("floor AMQP_URI QUEUE DOMAIN TASK_LIST POLLERS MAX_IN_FLIGHT");
    };
    let in_flight: u16 = in_flight.parse().context("MAX_IN_FLIGHT")?;
    let reply_to = format!("{queue}.floor-replies.{}", std::process::id());
    let connect = || Connection::connect(uri, ConnectionProperties::default());
    let (publishing, consuming) = (connect().await?, connect().await?);
    let replies = consuming.create_channel().await?;
    for queue in [queue, &reply_to] {
        let quorum = AMQPValue::LongString("quorum".into());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), quorum);
        let durable = QueueDeclareOptions::durable();
        let declared = replies.queue_declare(short(queue), durable, arguments);
        declared.await?;
    }
    let qos = BasicQosOptions::default();
    replies.basic_qos(in_flight + 100, qos).await?;
    let options = BasicConsumeOptions::default();
    let consumer = replies.basic_consume(
        short(&reply_to),
        "floor".into(),
        options,
        FieldTable::default(),
    );
    let mut consumer = consumer.await?;
    let tasks = publishing.create_channel().await?;
    let confirms = ConfirmSelectOptions::default();
    tasks.confirm_select(confirms).await?;

    let aws = AwsConfig::load(None).await?;
    let floor = Arc::new(Floor {
        poll: Client::new(&aws::for_polls(aws.sdk())),
        respond: Client::new(&aws::for_responses(aws.sdk())),
        tasks,
        queue: queue.clone(),
        reply_to,
        domain: domain.clone(),
        task_list: task_list.clone(),
        slots: Arc::new(Semaphore::new(in_flight.into())),
        tokens: Mutex::default(),
        next_id: AtomicU64::new(0),
    });
    for _ in 0..pollers.parse::<u16>().context("POLLERS")? {
        go(poll(Arc::clone(&floor)));
    }
    while let Some(reply) = consumer.next().await {
        go(complete(Arc::clone(&floor), reply?));
    }
    anyhow::bail!("the consumer of replies ended")
}

/// Runs it beside the others; an error ends the process.
fn go(what: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    // A call of the SDK is a future of many kilobytes, which is cheaper to allocate than to move about.
    let what = Box::pin(what);
    tokio::spawn(async {
        if let Err(error) = what.await {
            eprintln!("floor: {error:#}");
            std::process::exit(1);
        }
    });
}

async fn poll(floor: Arc<Floor>) -> anyhow::Result<()> {
    loop {
        let slot = Arc::clone(&floor.slots).acquire_owned().await?;
        let task_list = TaskList::builder().name(&floor.task_list).build()?;
        let call = floor.poll.poll_for_activity_task();
        let call = call.domain(&floor.domain).task_list(task_list);
        let mut task = call.identity("floor").send().await?;
        if !task.task_token.is_empty() {
            let id = floor.next_id.fetch_add(1, Ordering::Relaxed);
            let id = format!("{id:032x}");
            let token = std::mem::take(&mut task.task_token);
            lock(&floor.tokens).insert(id.clone(), (token, slot));
            go(publish(Arc::clone(&floor), id, task));
        }
    }
}

async fn publish(
    floor: Arc<Floor>,
    id: String,
    task: PollForActivityTaskOutput,
) -> anyhow::Result<()> {
    let properties = properties(&floor, &id, &task)?;
    let body = task.input.as_deref().unwrap_or_default();
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let queue = short(&floor.queue);
    let confirm = floor
        .tasks
        .basic_publish("".into(), queue, options, body.as_bytes(), properties)
        .await?;
    let confirmation = confirm.await?;
    ensure!(confirmation.is_ack(), "not acked");
    ensure!(confirmation.take_message().is_none(), "returned");
    Ok(())
}

async fn complete(floor: Arc<Floor>, reply: Delivery) -> anyhow::Result<()> {
    let id = reply.properties.correlation_id().as_ref();
    let id = id.context("a reply without correlation_id")?;
    let entry = lock(&floor.tokens).remove(id.as_str());
    let (token, slot) = entry.context("a reply to no task")?;
    let result = String::from_utf8(reply.data)?;
    let call = floor.respond.respond_activity_task_completed();
    call.task_token(token).result(result).send().await?;
    ensure!(reply.acker.ack(BasicAckOptions::default()).await?, "no ack");
    drop(slot);
    Ok(())
}

/// The properties that the bridge sets, of the same lengths.
fn properties(
    floor: &Floor,
    id: &str,
    task: &PollForActivityTaskOutput,
) -> anyhow::Result<BasicProperties> {
    let run = task.workflow_execution.as_ref().context("no execution")?;
    let kind = task.activity_type.as_ref().context("no activity type")?;
    let mut headers = FieldTable::default();
    for (name, text) in [
        ("workflow-id", run.workflow_id.as_str()),
        ("run-id", &run.run_id),
        ("activity-id", &task.activity_id),
        ("activity-type", &kind.name),
        ("activity-version", &kind.version),
        ("domain", &floor.domain),
        ("task-list", &floor.task_list),
        ("route", &floor.queue),
        ("source", "swf"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
    }
    let event = AMQPValue::LongLongInt(task.started_event_id);
    headers.insert("started-event-id".into(), event);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(BasicProperties::default()
        .with_delivery_mode(2)
        .with_app_id("activity-bridge".into())
        .with_headers(headers)
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_message_id(short(id))
        .with_correlation_id(short(id))
        .with_type(short(&kind.name))
        .with_reply_to(short(&floor.reply_to))
        .with_timestamp(now.as_secs()))
}

fn short(text: &str) -> ShortString {
    ShortString::from(text)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
