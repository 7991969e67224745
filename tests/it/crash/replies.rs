//! Replies that come while no process is there, or once more afterwards.

use super::{HEARTBEAT, PAYMENTS, Place, assert_none_parked, done, route, schedule};
use crate::harness::{Answer, File, Inbox, Redis, Store, World, eventually};
use activity_sim::FaultRule;
use lapin::options::{BasicGetOptions, BasicRejectOptions};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn replies_that_came_while_the_bridge_was_down_settle_their_tasks(
    #[values(File, Redis)] store: Store,
) {
    let place = Place::new(store, HEARTBEAT).await;
    let mut killed = place.bridge().await;
    let tasks = place.tasks(20).await;
    killed.kill().await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    let bridge = place.bridge().await;
    place.world.until("all", |s| s.completed == 20).await;
    place.is_settled(&bridge).await;
    place.world.assert_each_settled_once(20);
}

/// The record of the task is gone, the memory of it is not.
#[rstest]
#[tokio::test]
async fn a_reply_that_comes_again_after_a_restart_is_late_and_not_parked(
    #[values(File, Redis)] store: Store,
) {
    let place = Place::new(store, HEARTBEAT).await;
    let mut first = place.bridge().await;
    let tasks = place.tasks(5).await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    place.world.until("all", |s| s.completed == 5).await;
    place.is_settled(&first).await;
    assert!(first.terminate().await.success());

    let bridge = place.bridge().await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    eventually("late replies", || async {
        (bridge.metric("late_replies_total").await == 5.0).then_some(())
    })
    .await;
    place.is_settled(&bridge).await;
    place.world.assert_each_settled_once(5);
}

/// A kill may cost the memory of the last moment: then AWS says that the task is gone. It is not parked either way.
#[rstest]
#[tokio::test]
async fn a_reply_that_comes_again_after_a_kill_is_not_parked(#[values(File, Redis)] store: Store) {
    let place = Place::new(store, HEARTBEAT).await;
    let mut killed = place.bridge().await;
    let tasks = place.tasks(5).await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    place.world.until("all", |s| s.completed == 5).await;
    killed.kill().await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    let bridge = place.bridge().await;
    place.is_settled(&bridge).await;
    assert_eq!(place.world.sim.summary().completed, 5);
}

/// Rejected by a worker: the dead letter waits in the reply queue like any reply.
#[rstest]
#[tokio::test]
async fn a_dead_letter_that_came_while_the_bridge_was_down_fails_its_task(
    #[values(File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let routes = [route(HEARTBEAT, "poll_without_consumers = true")];
    let mut killed = world.bridge(&routes).await;
    killed.route_is(PAYMENTS, "polling").await;
    schedule(&world, 0..1, HEARTBEAT);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let delivery = eventually("the task", || async {
        let options = BasicGetOptions { no_ack: false };
        let got = inbox.channel().basic_get(PAYMENTS.into(), options).await;
        got.expect("the queue can be read")
    })
    .await;
    killed.kill().await;
    let options = BasicRejectOptions { requeue: false };
    delivery.reject(options).await.expect("rejected");

    let bridge = world.bridge(&routes).await;
    world.until("failed", |s| s.failed == 1).await;
    let task = world.sim.tasks().remove(0);
    assert_eq!(task.reason.as_deref(), Some("rejected by a worker"));
    bridge.idle().await;
    assert_none_parked(&inbox).await;
}

/// A worker that asks hears how the task fares from the process that has it now.
#[rstest]
#[tokio::test]
async fn a_worker_that_asks_after_a_restart_is_answered(#[values(File, Redis)] store: Store) {
    let place = Place::new(store, HEARTBEAT).await;
    let mut killed = place.bridge().await;
    let task = place.tasks(1).await.remove(0);
    killed.kill().await;
    let own = place.inbox.own_queue().await;
    let sign = Answer::of("heartbeat", "half").asking(&own);
    place.inbox.reply(&task, sign).await;
    let bridge = place.bridge().await;
    let answer = place.inbox.next(&own).await;
    assert_eq!(answer.header("status").as_deref(), Some("alive"));
    place.inbox.reply(&task, done(&task)).await;
    place.world.until("completed", |s| s.completed == 1).await;
    place.is_settled(&bridge).await;
}

/// More tasks were adopted than there are slots, and AWS takes no outcome. Each final reply stays unacknowledged, and RabbitMQ
/// hands out no more than the prefetch.
#[tokio::test]
async fn a_heartbeat_is_read_though_the_replies_to_many_adopted_tasks_wait_for_aws() {
    const TASKS: u32 = 150;
    let world = World::new().await.kept_in(File);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let many = route(
        HEARTBEAT,
        "max_in_flight = 200\npollers = { min = 1, max = 20 }",
    );
    let mut killed = world.bridge(&[many]).await;
    schedule(&world, 0..TASKS, HEARTBEAT);
    let tasks = worker.has_seen(TASKS as usize).await;
    killed.kill().await;
    let fault = FaultRule::error("RespondActivityTaskCompleted", 500, "InternalFailure");
    world.sim.fault(fault);
    let one = route(
        HEARTBEAT,
        "max_in_flight = 1\npollers = { min = 1, max = 1 }",
    );
    let bridge = world.bridge(&[one]).await;
    bridge.ready().await;
    assert_eq!(bridge.metric("tasks_in_flight").await, f64::from(TASKS));
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (last, others) = tasks.split_last().expect("tasks");
    for task in others {
        inbox.reply(task, done(task)).await;
    }
    let own = inbox.own_queue().await;
    let sign = Answer::of("heartbeat", "").asking(&own);
    inbox.reply(last, sign).await;
    let answer = inbox.next(&own).await;
    assert_eq!(answer.header("status").as_deref(), Some("alive"));
}
