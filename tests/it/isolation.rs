//! RabbitMQ: one bad message, queue or channel holds up no other route.

use crate::{
    endpoint::hostile::raw::{Raw, content, long, message, publish, short},
    harness::{
        Answer, BridgeProcess, HOLD, Inbox, Node, Route, Scene, Swf, TEST_TIMEOUT, Worker, World,
        eventually,
    },
    republishing::close_connection,
};
use activity_sim::{FaultRule, TaskState};
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use std::time::{Duration, Instant};

/// The parking queue.
pub const PARKED: &str = "activity-bridge.parked";

/// Maximum time in which the tasks of another route are done, whatever happens beside them.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(45);

/// Beside a scene: a route with a worker that does its tasks.
pub struct Other<'a> {
    world: &'a World,
    _worker: Worker,
}

impl<'a> Other<'a> {
    /// Starts the worker.
    pub async fn in_world(world: &'a World) -> Self {
        let worker = world.worker("mails", |_| Answer::done("ok")).await;
        Self {
            world,
            _worker: worker,
        }
    }

    /// Its tasks are done in time.
    pub async fn goes_on(&self) {
        let begun = Instant::now();
        for id in self.world.schedule("mails", 10) {
            let task = self.world.closed(&id).await;
            assert_eq!(task.state, TaskState::Completed);
        }
        let took = begun.elapsed();
        assert!(took < OTHERS_TIMEOUT, "{took:?}");
    }
}

/// A message with these properties, flags first, and no body.
pub fn reply(queue: &str, properties: &[u8]) -> Vec<u8> {
    [publish(1, "", queue), content(1, 0, properties)].concat()
}

/// The number of parked messages; `None` where there is no queue for them, which closes the channel.
pub async fn parked(inbox: &Inbox) -> Option<u32> {
    let passive = QueueDeclareOptions::durable().passive();
    let found = inbox
        .channel()
        .queue_declare(PARKED.into(), passive, FieldTable::default());
    Some(found.await.ok()?.message_count())
}

/// The largest resident memory that the process ever had, in MB.
fn peak_mb(bridge: &BridgeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid()));
    let status = status.expect("the bridge runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kb: u64 = number.and_then(|number| number.parse().ok()).expect("kB");
    kb >> 10
}

#[tokio::test]
async fn replies_of_many_bytes_are_read_a_few_at_a_time() {
    /// Above it, the bridge holds one reply at a time. RabbitMQ 4 takes messages of up to 16 MiB.
    const LARGE: usize = 12 << 20;
    const MEDIUM: usize = 4 << 20;
    // So many bytes would slow down the tests that share a node.
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let scene = Scene::in_world(world, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    let queue = task.reply_to();
    let mut raw = Raw::at(&scene.world.amqp_uri).await;
    // 160 MB, and 72 MB.
    for (count, size) in [(40, MEDIUM), (6, LARGE)] {
        let one = message(1, "", &queue, &vec![b'x'; size]);
        for _ in 0..count {
            raw.send(&one).await;
        }
    }
    // 60 MB, and many times that as headers in memory.
    let bools: Vec<u8> = (0..14_000_u32)
        .flat_map(|number| [&short(format!("{number:04x}"))[..], b"t\x01"].concat())
        .collect();
    let one = reply(&queue, &[&[0x20, 0][..], &long(&bools)].concat());
    for _ in 0..500 {
        raw.send(&one).await;
    }
    eventually("all being parked", || async {
        (parked(&scene.inbox).await == Some(546)).then_some(())
    })
    .await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    eventually("every reply being acknowledged", || async {
        let asked = [
            "list_channels",
            "--quiet",
            "--no-table-headers",
            "messages_unacknowledged",
        ];
        let counts = node.ctl(&asked).await;
        (counts.contains('0') && counts.lines().all(|count| count.trim() == "0")).then_some(())
    })
    .await;
    let peak = peak_mb(&scene.bridge);
    eprintln!("{peak} MB at most");
    assert!(peak < 150, "{peak} MB");
}

#[tokio::test]
async fn a_parking_queue_that_refuses_holds_up_no_reply_and_the_route_says_why_it_does_not_poll() {
    const GARBAGE: u32 = 300;
    const ROOM: u32 = 10;
    /// Maximum number of replies that are parked at once.
    const BATCH: u32 = 64;
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(ROOM.into()));
    let reject = AMQPValue::LongString("reject-publish".into());
    arguments.insert("x-overflow".into(), reject);
    let durable = QueueDeclareOptions::durable();
    let declared = inbox
        .channel()
        .queue_declare(PARKED.into(), durable, arguments);
    declared.await.expect("declared");
    let worker = world.worker("payments", |_| Vec::new()).await;
    let route = Route::new("payments").with("max_in_flight = 20");
    let bridge = world.bridge(&[route]).await;
    let ids = world.schedule("payments", 20);
    let tasks = worker.has_seen(20).await;
    let garbage = Answer {
        correlation_id: Some(String::new()),
        ..Answer::default()
    };
    for _ in 0..GARBAGE {
        inbox.reply(&tasks[0], garbage.clone()).await;
    }
    bridge
        .route_is(
            "payments",
            "the queue activity-bridge.parked takes no messages",
        )
        .await;
    assert_eq!(bridge.get("/readyz").await.0, 503);
    let begun = Instant::now();
    for task in &tasks {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
    }
    for id in &ids {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
    let took = begun.elapsed();
    assert!(took < OTHERS_TIMEOUT, "{took:?}");

    // The bridge makes another queue, which takes what is left. RabbitMQ confirms what is on its way to a queue that is deleted, and
    // drops it with the queue: at most a batch.
    let delete = QueueDeleteOptions::default();
    let deleted = inbox.channel().queue_delete(PARKED.into(), delete);
    assert_eq!(deleted.await.expect("deleted"), ROOM);
    eventually("the rest being parked", || async {
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let parked = parked(&inbox).await?;
        (parked >= GARBAGE - ROOM - BATCH).then_some(())
    })
    .await;
    bridge.route_is("payments", "polling").await;
}

/// The leader of the queue is there and says nothing, so no message is confirmed.
#[tokio::test]
async fn a_queue_without_a_working_leader_holds_up_no_other_route() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route, Route::new("mails")]).await;
    let other = Other::in_world(&world).await;
    bridge.route_is("payments", "polling").await;
    node.ctl(&["eval", "sys:suspend('%2F_payments')."]).await;
    let ids = world.schedule("payments", 20);
    // Longer than any timeout of the bridge.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(45) {
        other.goes_on().await;
    }
    assert!(!bridge.log().contains("no connection to the broker"));
    let unconfirmed = "publishes_total{outcome=\"unconfirmed\",route=\"payments\"";
    assert!(bridge.metric(unconfirmed).await > 0.0);
    node.ctl(&["eval", "sys:resume('%2F_payments')."]).await;
    for id in &ids {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
}

#[tokio::test]
async fn a_lost_connection_of_replies_is_opened_again_and_no_other() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = world
        .bridge(&[Route::new("payments"), Route::new("mails")])
        .await;
    let other = Other::in_world(&world).await;
    let id = world.schedule("payments", 1).remove(0);
    let task = worker.has_seen(1).await.remove(0);
    // A connection that ends sooner says that something is wrong with the broker.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(11) {
        other.goes_on().await;
    }
    close_connection(world.vhost(), "replies").await;
    bridge
        .logged("the connection that reads replies ended; opening another")
        .await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    other.goes_on().await;
    assert!(!bridge.log().contains("no connection to the broker"));
}

/// RabbitMQ closes the channel of a consumer that does not acknowledge in time.
#[tokio::test]
async fn a_timeout_of_the_consumer_of_replies_touches_no_publisher() {
    let node = Node::start().await;
    for (setting, ms) in [
        ("consumer_timeout", 4_000),
        ("channel_tick_interval", 1_000),
    ] {
        let set = format!("application:set_env(rabbit, {setting}, {ms}).");
        node.ctl(&["eval", &set]).await;
    }
    let world = World::at(node.amqp_uri.clone(), HOLD).await.of(Swf);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    // The reply waits for AWS until its delivery is overdue, and comes again only once.
    let slow = FaultRule::latency(Swf.complete(), Duration::from_secs(6));
    world.sim.fault(slow.times(1));
    let id = world.schedule("payments", 1).remove(0);
    bridge
        .logged("the broker closed the channel of replies; opening it again")
        .await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    eventually("the reply that came again", || async {
        (bridge.metric("late_replies_total").await >= 1.0).then_some(())
    })
    .await;
    world.schedule("payments", 5);
    let all = |s: &activity_sim::Summary| s.completed == 6;
    let done = world.sim.wait_until(TEST_TIMEOUT, all).await;
    assert!(done.is_ok(), "{done:?}");
    assert!(!bridge.log().contains("no connection to the broker"));
}
