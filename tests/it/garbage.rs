//! Many replies that can't be used, from a worker that has lost its mind or from somebody who means harm.

use crate::harness::{Answer, HOLD, Inbox, Proxy, Route, Scene, World, eventually};
use activity_sim::{TaskRecord, TaskState};
use futures_util::future::join_all;
use lapin::{
    BasicProperties, PublisherConfirm,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions},
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Number of replies. A line for each would fill a log, and to park them takes a while.
const REPLIES: usize = 10_000;

const UNKNOWN: &str = "no task of this bridge has this correlation_id";

/// Sends replies to tasks that nobody knows.
async fn flood(from: &Inbox, reply_to: &str, replies: usize) -> Vec<PublisherConfirm> {
    let mut confirms = Vec::new();
    for number in 0..replies {
        let nobody = format!("{number:032x}");
        let published = from.channel().basic_publish(
            "".into(),
            reply_to.into(),
            BasicPublishOptions::default(),
            b"",
            BasicProperties::default().with_correlation_id(nobody.as_str().into()),
        );
        confirms.push(published.await.expect("sent"));
    }
    confirms
}

#[tokio::test]
async fn a_flood_of_replies_that_can_not_be_used_costs_few_lines_and_holds_up_no_other_reply() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let from = Inbox::connect(&scene.world.amqp_uri).await;
    let began = Instant::now();
    let confirms = flood(&from, &task.reply_to(), REPLIES).await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    join_all(confirms).await;
    eventually("all of them being parked", || async {
        let parked = scene.bridge.metric("parked_replies_total").await;
        (parked == REPLIES as f64).then_some(())
    })
    .await;
    scene.bridge.logged("left_out=").await;
    let log = scene.bridge.log();
    let lines = log.lines().filter(|line| line.contains(UNKNOWN)).count();
    let intervals = usize::try_from(began.elapsed().as_secs() / 10).expect("few");
    assert!(lines <= intervals + 2, "{lines} lines");
}

/// How long the replies of the next test take at most, where the broker says everything 300 ms late. With 16 confirms on their
/// way at once, the confirms alone would take 75 s; with 200, they take 6 s.
const WITH_MANY_CONFIRMS: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_reply_behind_many_that_are_parked_does_not_wait_for_each_of_their_confirms() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await;
    let _bridge = behind.bridge(&[Route::new("payments")]).await;
    let id = behind.schedule("payments", 1).remove(0);
    let task = worker.has_seen(1).await.remove(0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    proxy.late(Duration::from_millis(300));
    let confirms = flood(&inbox, &task.reply_to(), 4_000).await;
    join_all(confirms).await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let closed = |task: &TaskRecord| !task.state.is_open();
    let closed = behind.sim.wait_for_task(&id, WITH_MANY_CONFIRMS, closed);
    let closed = closed.await.expect("the reply was read in time");
    assert_eq!(closed.state, TaskState::Completed);
}

/// RabbitMQ returns them, until the bridge has declared the queue again. A return may come with the confirm of another reply.
#[tokio::test]
async fn of_many_replies_that_find_no_parking_queue_none_is_lost() {
    const PARKED: &str = "activity-bridge.parked";
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let channel = scene.inbox.channel();
    let deleted = channel.queue_delete(PARKED.into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    join_all(flood(&scene.inbox, &task.reply_to(), 1_000).await).await;
    let ids = Mutex::new(HashSet::new());
    eventually("each of them in the queue", || async {
        // The channel ends if the queue is not there again yet.
        let reader = Inbox::connect(&scene.world.amqp_uri).await;
        let options = BasicGetOptions { no_ack: true };
        let mut ids = ids.lock().await;
        while let Ok(Some(parked)) = reader.channel().basic_get(PARKED.into(), options).await {
            ids.insert(parked.properties.correlation_id().clone());
        }
        (ids.len() == 1_000).then_some(())
    })
    .await;
}
