//! Failures of the broker: restarts, blocks, refusals, returns and lost connections, and how the bridge handles them.

use crate::harness::{
    Answer, File, HOLD, Inbox, Node, Proxy, Redis, Route, Source, StepFunctions, Store, Swf,
    TEST_TIMEOUT, World, eventually,
};
use activity_sim::{Schedule, Summary, TaskState, Timeouts};
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use rstest::rstest;
use std::time::Duration;

#[rstest]
#[tokio::test]
async fn a_broker_that_is_killed_and_started_again_in_the_middle_of_2000_tasks_loses_none(
    #[values((StepFunctions, File), (Swf, Redis))] kind: (Source, Store),
) {
    let (source, store) = kind;
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), Duration::from_secs(8)).await;
    let world = world.of(source).kept_in(store);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let bridge = world
        .bridge(&[Route::new("payments").with("max_in_flight = 200")])
        .await;
    // RabbitMQ 3.10 may never again elect a leader for a quorum queue whose node is killed in the first seconds of the
    // queue's life. So let an empty poll pass first.
    world.until("an empty poll", |s| s.empty_polls > 0).await;
    world.schedule("payments", 2_000);
    world
        .until("a quarter completed", |s| s.completed >= 500)
        .await;

    node.kill().await;
    bridge.route_is("payments", "the broker is away").await;
    assert_eq!(bridge.get("/readyz").await.0, 503);
    node.restart().await;

    let all = |s: &Summary| s.completed == 2_000;
    let summary = world.sim.wait_until(TEST_TIMEOUT, all).await;
    let summary = summary.expect("all completed in time");
    assert_eq!((summary.open, summary.failed, summary.timed_out), (0, 0, 0));
    bridge.idle().await;
    bridge.route_is("payments", "polling").await;
}

/// AWS says of more tasks that they are gone than may have heartbeats on their way at once, and no worker can be told.
#[tokio::test]
async fn tasks_that_are_gone_while_the_broker_is_away_cost_no_other_its_heartbeats() {
    const GONE: u32 = 550;
    let heartbeat = Duration::from_secs(15);
    let world = World::new().await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await;
    let settings = "max_in_flight = 600\nheartbeat = { timeout_secs = 15 }";
    let route = Route::new("payments").with(settings);
    let _bridge = behind.bridge(&[route]).await;
    let schedule = |count| {
        behind.sim.schedule(Schedule {
            count,
            timeouts: Timeouts {
                heartbeat: Some(heartbeat),
                ..Timeouts::default()
            },
            ..behind.plain("payments")
        })
    };
    schedule(10);
    let gone = schedule(GONE);
    worker.has_seen(GONE as usize + 10).await;
    proxy.cut(true);
    behind.sim.time_out(gone.iter().map(String::as_str));
    let lively = || behind.sim.tasks().into_iter().take(10);
    let before: u64 = lively().map(|task| task.heartbeat_count).sum();
    // Four more for each, which come over more than a heartbeat timeout.
    eventually("heartbeats", || async {
        assert!(lively().all(|task| task.state.is_open()), "timed out");
        let now: u64 = lively().map(|task| task.heartbeat_count).sum();
        (now >= before + 40).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_nothing_is_lost() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 1_000);
    world.until("some completed", |s| s.completed >= 100).await;
    node.pause().await;
    // Twice the AMQP heartbeat of 10 s.
    bridge.route_is("payments", "the broker is away").await;
    node.resume().await;
    world.until("all completed", |s| s.completed == 1_000).await;
    bridge.idle().await;
}

#[tokio::test]
async fn a_broker_that_blocks_publishers_stops_polling_and_loses_nothing() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 2);
    let tasks = worker.has_seen(2).await;

    // The broker blocks a connection when it next publishes, which is when a task comes.
    node.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    world.schedule("payments", 20);
    bridge
        .route_is("payments", "the broker takes no messages")
        .await;
    world.until("no open polls", |s| s.open_polls == 0).await;
    assert_eq!(
        bridge.get("/readyz").await.0,
        200,
        "{}",
        bridge.get("/readyz").await.1
    );

    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    bridge.route_is("payments", "polling").await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut replied = 0;
    for task in &tasks {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
        replied += 1;
    }
    let all = worker.has_seen(22).await;
    for task in &all[replied..] {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
    }
    world.until("all completed", |s| s.completed == 22).await;
    assert_eq!(
        bridge
            .metric("publishes_total{outcome=\"unconfirmed\"")
            .await,
        0.0
    );
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_the_unroutable_tasks_are_published_again() {
    let world = World::new().await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let published = async |outcome: &str| {
        let series = format!("publishes_total{{outcome=\"{outcome}\"");
        bridge.metric(&series).await
    };
    // The bridge may have declared the queue again before it publishes. Then that task ends, and another one is published
    // to a queue that is not there.
    let mut ended = 0;
    loop {
        let deleted = inbox
            .channel()
            .queue_delete("payments".into(), QueueDeleteOptions::default());
        deleted.await.expect("deleted");
        let before = published("confirmed").await;
        world.schedule("payments", 1);
        let unroutable = eventually("an attempt to publish", || async {
            let unroutable = published("unroutable").await > 0.0;
            (unroutable || published("confirmed").await > before).then_some(unroutable)
        })
        .await;
        if unroutable {
            break;
        }
        let task = inbox.next("payments").await;
        inbox.reply(&task, Answer::done("ok").remove(0)).await;
        ended += 1;
        assert!(ended < 20, "never unroutable");
    }
    world.schedule("payments", 19);
    // No worker has declared the queue: the bridge has, and publishes all of them to it.
    eventually("the messages in the queue", || async {
        // Where there is no queue, the channel is closed.
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let passive = QueueDeclareOptions::durable().passive();
        let found =
            inbox
                .channel()
                .queue_declare("payments".into(), passive, FieldTable::default());
        (found.await.ok()?.message_count() == 20).then_some(())
    })
    .await;
    let all = ended + 20;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    world
        .until("all completed", |s| s.completed == all as u64)
        .await;
    world.assert_each_completed_once(all);
}

/// With `declare = false` and the queue gone for good, the task is failed back rather than kept for ever.
#[tokio::test]
async fn a_task_that_stays_unroutable_is_failed_back_to_aws_with_a_reason() {
    // The poll is open until the task comes: without a queue there is no other.
    let world = World::with_hold(Duration::from_secs(20))
        .await
        .of(StepFunctions);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let durable = QueueDeclareOptions::durable();
    let declared = inbox
        .channel()
        .queue_declare("payments".into(), durable, FieldTable::default());
    declared.await.expect("declared");
    let route = Route::new("payments")
        .with("declare = false\npoll_without_consumers = true\npublish_within_secs = 12\nheartbeat = { discover = false }\npollers = { min = 1, max = 1 }");
    let bridge = world.bridge(&[route]).await;
    world.until("the open poll", |s| s.open_polls == 1).await;
    let deleted = inbox
        .channel()
        .queue_delete("payments".into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    let id = world.schedule("payments", 1).remove(0);

    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    let words = StepFunctions.words("Undelivered", &task);
    assert!(
        words.contains("could not hand it to queue payments within 12 s"),
        "{words}"
    );
    assert!(task.details.unwrap_or_default().contains("NO_ROUTE"));
    bridge
        .route_is("payments", "does not exist; create it")
        .await;
    let unroutable = "publishes_total{outcome=\"unroutable\"";
    assert!(bridge.metric(unroutable).await >= 1.0);
    assert_eq!(bridge.get("/readyz").await.0, 503);
}

/// A queue that rejects what does not fit nacks it: it is offered again, and no more is polled meanwhile.
#[tokio::test]
async fn a_full_queue_refuses_and_its_tasks_are_published_when_there_is_room() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(5));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let durable = QueueDeclareOptions::durable();
    let declared = inbox
        .channel()
        .queue_declare("payments".into(), durable, arguments);
    declared.await.expect("declared");
    let route = Route::new("payments").with("declare = false\npoll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    world.schedule("payments", 40);
    bridge
        .route_is("payments", "wait to be published again")
        .await;
    assert!(bridge.metric("publishes_total{outcome=\"nacked\"").await >= 1.0);

    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    world.until("all completed", |s| s.completed == 40).await;
    world.assert_each_completed_once(40);
}

#[tokio::test]
async fn a_declaration_conflict_says_which_argument_differs_and_leaves_other_routes_alone() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let durable = QueueDeclareOptions::durable();
    let classic = inbox
        .channel()
        .queue_declare("classic".into(), durable, FieldTable::default());
    classic.await.expect("declared");
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let bridge = world
        .bridge(&[Route::new("classic"), Route::new("payments")])
        .await;
    bridge.route_is("classic", "x-dead-letter-exchange").await;
    let (ready, state) = bridge.route("classic").await;
    assert!(!ready && state.contains("declare = false"), "{state}");
    world.schedule("payments", 3);
    world
        .until("the other route's tasks completed", |s| s.completed == 3)
        .await;
}
