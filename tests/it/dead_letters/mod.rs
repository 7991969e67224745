//! Tasks that come back from a queue: rejected, expired, delivered too often, dropped. The workflow learns at once.

mod operators;
mod strangers;

use crate::harness::{
    BridgeProcess, HOLD, Inbox, Proxy, Route, Source, StepFunctions, Swf, World, all_acknowledged,
    eventually,
};
use activity_sim::{TaskRecord, TaskState};
use lapin::{
    BasicProperties,
    message::BasicGetMessage,
    options::{
        BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicRejectOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use rstest::rstest;

const QUEUE: &str = "payments";
const PARKED: &str = "activity-bridge.parked";
const DEAD_LETTERS: &str = "activity-bridge.dead-letters";

/// A bridge with one route whose queue the test itself takes tasks from.
struct Place {
    world: World,
    bridge: BridgeProcess,
    inbox: Inbox,
}

impl Place {
    async fn with(settings: &str) -> Self {
        Self::of(Swf, settings).await
    }

    async fn of(source: Source, settings: &str) -> Self {
        Self::on(World::new().await.of(source), settings).await
    }

    async fn on(world: World, settings: &str) -> Self {
        let route = Route::new(QUEUE).with("poll_without_consumers = true");
        let bridge = world.bridge(&[route.with(settings)]).await;
        bridge.route_is(QUEUE, "polling").await;
        let inbox = Inbox::connect(&world.amqp_uri).await;
        Self {
            world,
            bridge,
            inbox,
        }
    }

    /// With a queue of the operator's.
    async fn of_the_operator(settings: &str, arguments: FieldTable) -> Self {
        let world = World::new().await;
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let durable = QueueDeclareOptions::durable();
        let channel = inbox.channel();
        let declared = channel.queue_declare(QUEUE.into(), durable, arguments);
        declared.await.expect("declared");
        Self::on(world, &format!("declare = false\n{settings}")).await
    }

    fn schedule(&self) -> String {
        self.world.schedule(QUEUE, 1).remove(0)
    }

    /// The next task, which is still to be acknowledged.
    async fn take(&self) -> BasicGetMessage {
        eventually("a task", || async {
            let options = BasicGetOptions { no_ack: false };
            let got = self.inbox.channel().basic_get(QUEUE.into(), options).await;
            got.expect("the queue can be read")
        })
        .await
    }

    async fn reject(&self) -> String {
        let task = self.take().await;
        let options = BasicRejectOptions { requeue: false };
        task.reject(options).await.expect("rejected");
        let id = task.properties.correlation_id().as_ref();
        id.expect("a task id").to_string()
    }

    /// Waits until the task has failed, and all that has to do with it is cleared up.
    async fn failed(&self, id: &str, reason: &str, details: &str) -> TaskRecord {
        let task = self.world.closed(id).await;
        assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
        let source = self.world.source;
        let (reason, details) = source.failure("DeadLetter", reason, details);
        assert_eq!(task.reason.as_deref(), Some(reason.as_str()));
        assert_eq!(task.details, details);
        self.bridge.idle().await;
        all_acknowledged(&self.world, &self.inbox, QUEUE).await;
        assert!(
            self.inbox.get(PARKED).await.is_none(),
            "something is parked"
        );
        task
    }

    async fn counted(&self, kind: &str) -> f64 {
        let series = format!("dead_letters_total{{kind=\"{kind}\"");
        self.bridge.metric(&series).await
    }

    /// Waits until the bridge has had a dead letter, and shows that it left the task open.
    async fn still_open(&self, id: &str) {
        let task = self.world.sim.task(id).expect("a record");
        assert_eq!((task.state, task.settle_calls), (TaskState::Started, 0));
        eventually("the others to be forgotten", || async {
            (self.bridge.metric("tasks_in_flight").await == 1.0).then_some(())
        })
        .await;
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

#[rstest]
#[tokio::test]
async fn basic_reject_without_requeue_fails_the_task_as_rejected_by_a_worker(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let place = Place::of(source, "").await;
    let id = place.schedule();
    place.reject().await;
    place
        .failed(&id, "rejected by a worker", "queue payments")
        .await;
    assert_eq!(place.counted("rejected").await, 1.0);
    assert_eq!(
        place.bridge.metric("replies_total{kind=\"failed\"").await,
        0.0
    );
}

#[tokio::test]
async fn basic_nack_without_requeue_fails_the_task_as_rejected_by_a_worker() {
    let place = Place::with("").await;
    let id = place.schedule();
    let task = place.take().await;
    let options = BasicNackOptions {
        requeue: false,
        ..Default::default()
    };
    task.nack(options).await.expect("nacked");
    place
        .failed(&id, "rejected by a worker", "queue payments")
        .await;
}

#[rstest]
#[tokio::test]
async fn a_task_that_is_given_back_more_often_than_the_delivery_limit_is_failed(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let place = Place::of(source, "delivery_limit = 2").await;
    let id = place.schedule();
    for _ in 0..2 {
        let task = place.take().await;
        let options = BasicNackOptions {
            requeue: true,
            ..Default::default()
        };
        task.nack(options).await.expect("nacked");
    }
    // A worker that dies with the task gives it back too.
    let dying = Inbox::connect(&place.world.amqp_uri).await;
    let options = BasicGetOptions { no_ack: false };
    eventually("the last delivery", || async {
        let got = dying.channel().basic_get(QUEUE.into(), options).await;
        got.expect("the queue can be read").map(drop)
    })
    .await;
    drop(dying);
    let reason = "the broker's delivery limit was reached";
    place
        .failed(&id, reason, "queue payments, delivery limit 2")
        .await;
    assert_eq!(place.counted("delivery-limit").await, 1.0);
}

#[rstest]
#[tokio::test]
async fn a_task_that_nobody_takes_until_its_deadline_expires_and_is_failed(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let place = Place::of(source, "start_to_close_secs = 3\nexpire_at_deadline = true").await;
    let id = place.schedule();
    place
        .failed(&id, "expired in the queue", "queue payments")
        .await;
    assert_eq!(place.counted("expired").await, 1.0);
}

#[tokio::test]
async fn expiration_is_the_time_until_the_deadline_only_where_the_route_says_so() {
    for (settings, expires) in [
        ("start_to_close_secs = 600\nexpire_at_deadline = true", true),
        ("start_to_close_secs = 600", false),
        ("expire_at_deadline = true", false),
        (
            "expire_at_deadline = true\nheartbeat = { max_wait_secs = 600 }",
            false,
        ),
    ] {
        let place = Place::with(settings).await;
        place.schedule();
        let task = place.take().await;
        let expiration = task.properties.expiration().as_ref();
        let milliseconds = expiration.map(|text| text.as_str().parse::<u64>().expect("a number"));
        assert_eq!(milliseconds.is_some(), expires, "{settings}");
        let near = |ms: u64| (540_000..=600_000).contains(&ms);
        assert!(milliseconds.is_none_or(near), "{milliseconds:?}");
    }
}

#[tokio::test]
async fn a_dead_letter_that_comes_while_the_bridge_has_no_broker_is_not_lost() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let place = Place::on(World::at(proxy.uri.clone(), HOLD).await, "").await;
    let id = place.schedule();
    let direct = Inbox::connect(&world.amqp_uri).await;
    let task = eventually("the task", || async {
        let options = BasicGetOptions { no_ack: false };
        let got = direct.channel().basic_get(QUEUE.into(), options).await;
        got.expect("the queue can be read")
    })
    .await;
    let reply_to = task.properties.reply_to().clone().expect("a reply_to");
    proxy.cut(true);
    place.bridge.route_is(QUEUE, "the broker is away").await;
    let options = BasicRejectOptions { requeue: false };
    task.reject(options).await.expect("rejected");
    eventually("the dead letter in the reply queue", || async {
        let passive = QueueDeclareOptions::durable().passive();
        let channel = direct.channel();
        let found = channel.queue_declare(reply_to.clone(), passive, FieldTable::default());
        let found = found.await.expect("the reply queue");
        (found.message_count() == 1).then_some(())
    })
    .await;
    proxy.cut(false);
    let task = place.world.closed(&id).await;
    assert_eq!(task.reason.as_deref(), Some("rejected by a worker"));
    assert_eq!(task.settle_calls, 1);
}

#[tokio::test]
async fn without_dead_letters_a_rejected_task_stays_open() {
    let place = Place::with("dead_letters = false").await;
    let id = place.schedule();
    place.reject().await;
    all_acknowledged(&place.world, &place.inbox, QUEUE).await;
    let second = place.schedule();
    let task = place.take().await;
    assert!(task.properties.correlation_id().is_some());
    let task = place.world.sim.task(&id).expect("a record");
    assert_eq!((task.state, task.settle_calls), (TaskState::Started, 0));
    assert_eq!(place.counted("rejected").await, 0.0);
    assert!(
        place.inbox.get(PARKED).await.is_none(),
        "something is parked"
    );
    drop(second);
}

/// A worker that replies and then rejects.
#[tokio::test]
async fn a_dead_letter_of_a_task_that_has_ended_is_late() {
    let place = Place::with("").await;
    let id = place.schedule();
    let task = place.take().await;
    let reply_to = task.properties.reply_to().clone().expect("a reply_to");
    let correlation_id = task.properties.correlation_id().clone();
    let properties =
        BasicProperties::default().with_correlation_id(correlation_id.expect("a task id"));
    let options = BasicPublishOptions::default();
    let channel = place.inbox.channel();
    let sent = channel.basic_publish("".into(), reply_to.clone(), options, b"done", properties);
    sent.await.expect("sent").await.expect("confirmed");
    let record = place.world.closed(&id).await;
    assert_eq!(record.state, TaskState::Completed);
    place.bridge.idle().await;

    let options = BasicRejectOptions { requeue: false };
    task.reject(options).await.expect("rejected");
    eventually("the late dead letter", || async {
        (place.bridge.metric("late_replies_total").await == 1.0).then_some(())
    })
    .await;
    all_acknowledged(&place.world, &place.inbox, reply_to.as_str()).await;
    assert_eq!(place.world.closed(&id).await.settle_calls, 1);
    assert!(
        place.inbox.get(PARKED).await.is_none(),
        "something is parked"
    );
}
