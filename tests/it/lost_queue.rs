//! RabbitMQ loses a queue with the tasks that wait in it, or all that it had.

use crate::harness::{
    Answer, BridgeProcess, File, Inbox, Memory, Redis, Route, Store, TaskMessage, World,
    all_acknowledged, eventually, http, make_vhost,
};
use crate::reload::Reloading;
use activity_sim::TaskState;
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use rstest::rstest;
use std::collections::HashSet;

const PAYMENTS: &str = "payments";

/// In the warning about tasks in flight, and in the one about tasks that are adopted later.
const LOST: &str = "the broker has lost";

/// Without consumers, so that tasks wait in the queue.
fn route(settings: &str) -> Route {
    let settings = format!("poll_without_consumers = true\nmax_ready = 50\n{settings}");
    Route::new(PAYMENTS).with(&settings)
}

/// Waits until so many messages are in the queue.
pub async fn has_messages(world: &World, count: u32) {
    eventually(&format!("{count} messages in the queue"), || async {
        // Where there is no queue, the channel is closed.
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let passive = QueueDeclareOptions::durable().passive();
        let declaring =
            inbox
                .channel()
                .queue_declare(PAYMENTS.into(), passive, FieldTable::default());
        (declaring.await.ok()?.message_count() == count).then_some(())
    })
    .await;
}

/// Waits until the bridges know of so many messages that the broker has them. The broker shows a message earlier.
pub async fn have_confirmed(bridges: &[&BridgeProcess], count: u32) {
    let series = format!("publishes_total{{outcome=\"confirmed\",route=\"{PAYMENTS}\"");
    eventually(&format!("{count} confirms"), || async {
        let mut confirmed = 0.0;
        for bridge in bridges {
            confirmed += bridge.metric(&series).await;
        }
        (confirmed == f64::from(count)).then_some(())
    })
    .await;
}

async fn delete(inbox: &Inbox, queue: &str) {
    let options = QueueDeleteOptions::default();
    let deleted = inbox.channel().queue_delete(queue.into(), options);
    deleted.await.expect("deleted");
}

async fn republished(bridge: &BridgeProcess) -> f64 {
    bridge.metric("republished_total").await
}

/// Starts a worker, which does all tasks; each once, and those that were seen before the loss too.
async fn all_are_done_once(world: &World, bridge: &BridgeProcess, count: usize) {
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    world
        .until("all completed", |s| s.completed == count as u64)
        .await;
    bridge.idle().await;
    world.assert_each_settled_once(count);
    let seen: HashSet<_> = worker.seen().iter().map(TaskMessage::id).collect();
    assert_eq!(seen.len(), worker.seen().len(), "in the queue twice");
    let log = bridge.log();
    let warned = log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains(LOST));
    assert_eq!(warned.count(), 1, "warned once");
}

#[rstest]
#[tokio::test]
async fn tasks_that_wait_in_a_deleted_queue_are_published_again_and_completed_once_each(
    #[values(Memory, File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let bridge = world.bridge(&[route("")]).await;
    bridge.route_is(PAYMENTS, "polling").await;
    world.schedule(PAYMENTS, 10);
    have_confirmed(&[&bridge], 10).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    delete(&inbox, PAYMENTS).await;
    let warned = bridge.logged(LOST).await;
    assert!(
        warned.contains("WARN")
            && warned.contains("tasks=10")
            && warned.contains("a queue, or replies")
            && warned.contains(PAYMENTS),
        "{warned}"
    );
    has_messages(&world, 10).await;
    assert_eq!(republished(&bridge).await, 10.0);
    all_are_done_once(&world, &bridge, 10).await;
}

/// Nothing but replies can be lost with it, and none was in it.
#[tokio::test]
async fn tasks_that_wait_while_the_reply_queue_alone_is_deleted_are_completed_once_each() {
    let world = World::new().await.kept_in(File);
    let bridge = world.bridge(&[route("")]).await;
    bridge.route_is(PAYMENTS, "polling").await;
    world.schedule(PAYMENTS, 6);
    have_confirmed(&[&bridge], 6).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let begun = inbox.next(PAYMENTS).await;
    inbox.reply(&begun, Answer::done("ok").remove(0)).await;
    world.until("the first", |s| s.completed == 1).await;
    let replies = begun.reply_to();
    all_acknowledged(&world, &inbox, &replies).await;
    delete(&inbox, &replies).await;
    eventually("the reply queue", || async {
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let passive = QueueDeclareOptions::durable().passive();
        let declaring =
            inbox
                .channel()
                .queue_declare((&*replies).into(), passive, FieldTable::default());
        (declaring.await.ok()?.consumer_count() == 1).then_some(())
    })
    .await;
    bridge.route_is(PAYMENTS, "polling").await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    world.until("all completed", |s| s.completed == 6).await;
    bridge.idle().await;
    world.assert_each_settled_once(6);
    assert_eq!(worker.seen().len(), 5, "in the queue twice");
    assert_eq!(republished(&bridge).await, 0.0);
    has_messages(&world, 0).await;
}

#[tokio::test]
async fn a_task_that_a_worker_has_begun_is_left_alone_when_its_queue_is_deleted() {
    let world = World::new().await.kept_in(File);
    let bridge = world.bridge(&[route("")]).await;
    bridge.route_is(PAYMENTS, "polling").await;
    world.schedule(PAYMENTS, 3);
    have_confirmed(&[&bridge], 3).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let begun = inbox.next(PAYMENTS).await;
    inbox.reply(&begun, Answer::of("started", "")).await;
    eventually("the sign of life", || async {
        (bridge.metric("replies_total{kind=\"alive\"").await == 1.0).then_some(())
    })
    .await;
    delete(&inbox, PAYMENTS).await;
    has_messages(&world, 2).await;
    assert_eq!(republished(&bridge).await, 2.0);
    inbox.reply(&begun, Answer::done("ok").remove(0)).await;
    all_are_done_once(&world, &bridge, 3).await;
}

/// The bridge does not declare it. Its operator does, later.
#[tokio::test]
async fn tasks_are_published_again_when_a_queue_that_the_bridge_does_not_declare_is_back() {
    let world = World::new().await.kept_in(File);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let declare = async || {
        let durable = QueueDeclareOptions::durable();
        let declared =
            inbox
                .channel()
                .queue_declare(PAYMENTS.into(), durable, FieldTable::default());
        declared.await.expect("declared");
    };
    declare().await;
    let bridge = world.bridge(&[route("declare = false")]).await;
    bridge.route_is(PAYMENTS, "polling").await;
    world.schedule(PAYMENTS, 4);
    have_confirmed(&[&bridge], 4).await;
    delete(&inbox, PAYMENTS).await;
    bridge.route_is(PAYMENTS, "does not exist; create it").await;
    assert_eq!(republished(&bridge).await, 0.0);
    declare().await;
    has_messages(&world, 4).await;
    assert_eq!(republished(&bridge).await, 4.0);
    // The worker of the tests would declare it with other arguments.
    for _ in 0..4 {
        let task = inbox.next(PAYMENTS).await;
        inbox.reply(&task, Answer::done("ok").remove(0)).await;
    }
    world.until("all completed", |s| s.completed == 4).await;
    world.assert_each_settled_once(4);
}

/// Its volume is gone: the virtual host is there, and nothing in it.
#[rstest]
#[tokio::test]
async fn a_bridge_that_starts_on_an_emptied_broker_publishes_again_what_waited_there(
    #[values(File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let mut killed = world.bridge(&[route("")]).await;
    killed.route_is(PAYMENTS, "polling").await;
    leave_confirmed(&world, &killed, 10).await;
    killed.kill().await;
    empty_vhost(&world).await;
    let bridge = world.bridge(&[route("")]).await;
    has_messages(&world, 11).await;
    assert!(republished(&bridge).await >= 10.0);
    all_are_done_once(&world, &bridge, 11).await;
}

/// Lets so many tasks wait whose confirms are in the store, and one more, of which that is not certain: the file is written
/// with the next task.
async fn leave_confirmed(world: &World, bridge: &BridgeProcess, count: u32) {
    world.schedule(PAYMENTS, count);
    have_confirmed(&[bridge], count).await;
    world.schedule(PAYMENTS, 1);
    has_messages(world, count + 1).await;
}

/// The queue is there by then, with some of the tasks in it.
#[rstest]
#[tokio::test]
async fn a_bridge_that_is_killed_while_it_publishes_lost_tasks_again_loses_none(
    #[values(File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    // The tenth confirm is the last one before the loss.
    let at = [("ACTIVITY_BRIDGE_CRASH_AT", "before-confirm:13")];
    let mut killed = world.bridge_in(&at, "", &[route("")]).await;
    killed.route_is(PAYMENTS, "polling").await;
    leave_confirmed(&world, &killed, 9).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    delete(&inbox, PAYMENTS).await;
    killed.ended().await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let bridge = world.bridge(&[route("")]).await;
    world.until("all completed", |s| s.completed == 10).await;
    bridge.idle().await;
    world.assert_each_settled_once(10);
    assert!(worker.seen().len() >= 10);
}

/// A worker that is faster declares the queue before the bridge looks. What the bridge knows then is that its replies are gone.
#[tokio::test]
async fn a_broker_that_was_emptied_is_noticed_where_a_worker_has_declared_the_queue_again() {
    let world = World::new().await.kept_in(File);
    let mut killed = world.bridge(&[route("")]).await;
    killed.route_is(PAYMENTS, "polling").await;
    leave_confirmed(&world, &killed, 5).await;
    killed.kill().await;
    empty_vhost(&world).await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let bridge = world.bridge(&[route("")]).await;
    world.until("all completed", |s| s.completed == 6).await;
    bridge.idle().await;
    assert!(republished(&bridge).await >= 5.0);
    assert_eq!(worker.seen().len(), 6);
    world.assert_each_settled_once(6);
}

/// Only one of them finds the queue missing.
#[tokio::test]
async fn each_replica_publishes_its_own_tasks_again() {
    let world = World::new().await.kept_in(Redis);
    let half = || route("max_in_flight = 5\npollers = { min = 1, max = 5 }");
    let bridges = [
        world.polling_bridge(PAYMENTS, &[half()]).await,
        world.polling_bridge(PAYMENTS, &[half()]).await,
    ];
    world.schedule(PAYMENTS, 10);
    let [one, other] = &bridges;
    have_confirmed(&[one, other], 10).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    delete(&inbox, PAYMENTS).await;
    for bridge in &bridges {
        eventually("its own five", || async {
            (republished(bridge).await >= 5.0).then_some(())
        })
        .await;
    }
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    world.until("all completed", |s| s.completed == 10).await;
    world.assert_each_settled_once(10);
    // What one has published again while the other looked is published twice, with the same id.
    let ids: HashSet<_> = worker.seen().into_iter().map(|task| task.id()).collect();
    assert_eq!(ids.len(), 10);
}

/// Deletes the virtual host with all that is in it, and makes it again.
async fn empty_vhost(world: &World) {
    let api = std::env::var("RABBITMQ_API").expect("the tests' broker");
    let url = format!("{api}/api/vhosts/{}", world.vhost());
    let deleted = http().delete(&url).send().await.expect("an answer");
    assert!(deleted.status().is_success(), "{}", deleted.status());
    make_vhost(&api, world.vhost()).await;
}

/// A reload has given the route another queue. A task waits in the one before, and no poll looks at that.
#[tokio::test]
async fn a_lost_queue_that_its_route_has_left_is_noticed_too() {
    let world = World::new().await;
    let scene = Reloading::start(&world, &[route("")]).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    have_confirmed(&[&scene.bridge], 1).await;
    scene.reloaded(&[route("").queue("renamed")]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    delete(&inbox, PAYMENTS).await;
    scene.bridge.logged(LOST).await;
    has_messages(&world, 1).await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    assert_eq!(worker.seen().len(), 1);
}

/// Waits until so many channels are open in the virtual host.
async fn has_channels(world: &World, expected: usize) {
    let api = std::env::var("RABBITMQ_API").expect("the tests' broker");
    let url = format!("{api}/api/vhosts/{}/channels", world.vhost());
    eventually(&format!("{expected} channels"), || async {
        let answer = http().get(&url).send().await.ok()?.text().await.ok()?;
        let channels: Vec<serde_json::Value> = serde_json::from_str(&answer).ok()?;
        (channels.len() == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_channels_to_a_queue_that_no_route_has_are_closed() {
    let world = World::new().await;
    let two = [route(""), Route::new("mail")];
    let scene = Reloading::start(&world, &two[..1]).await;
    // One for replies. For each queue one for tasks, and one for questions about it.
    has_channels(&world, 3).await;
    scene.reloaded(&two).await;
    has_channels(&world, 5).await;
    scene.reloaded(&two[..1]).await;
    has_channels(&world, 3).await;
}
