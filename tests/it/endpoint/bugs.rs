//! Panics of a bridge that is the broker. Those that both brokers have are in `panics`.

use super::{
    client::{Client, PAYMENTS, ack},
    hostile::raw::{Raw, consume},
};
use crate::harness::{Answer, HOLD, Route, Store, World, eventually};
use activity_sim::TaskState;
use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use std::fs;

#[tokio::test]
async fn a_message_over_which_the_endpoint_panics_costs_the_connection_that_sent_it_and_nothing_else()
 {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let env = [("ACTIVITY_BRIDGE_PANIC_OVER", "on-message:poison")];
    let route = Route::new(PAYMENTS).plain_acks();
    let mut bridge = world.bridge_in(&env, "", &[route]).await;
    let mut other = Client::consuming(&world.amqp_uri, 1).await;
    for (exchange, key) in [("", ""), ("amq.fanout", "any")] {
        let id = world.schedule(PAYMENTS, 1).remove(0);
        let (task, _) = other.next().await;
        let worker = other;
        other = Client::consuming(&world.amqp_uri, 1).await;
        let ended = worker.end();
        let key = if key.is_empty() {
            task.reply_to()
        } else {
            key.to_owned()
        };
        let properties = BasicProperties::default().with_correlation_id(task.id().into());
        let published = worker.channel.basic_publish(
            exchange.into(),
            key.into(),
            BasicPublishOptions::default(),
            b"poison",
            properties,
        );
        let _confirm = published.await.expect("it is sent");
        let why = ended.await;
        assert!(why.contains("INTERNAL_ERROR - a bug"), "{why}");

        let (again, delivery) = other.next().await;
        assert_eq!(again.id(), task.id());
        other.says(&again, Answer::done("ok").remove(0)).await;
        ack(&delivery).await;
        assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    }
    bridge.idle().await;
    world.assert_each_completed_once(2);
    assert!(bridge.terminate().await.success());
}

#[tokio::test]
async fn a_method_that_the_endpoint_panics_over_while_it_reads_it_costs_the_connection_that_sent_it_and_nothing_else()
 {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let env = [("ACTIVITY_BRIDGE_PANIC_OVER", "on-method:poison")];
    let route = Route::new(PAYMENTS).plain_acks();
    let mut bridge = world.bridge_in(&env, "", &[route]).await;
    let mut other = Client::consuming(&world.amqp_uri, 1).await;
    for _ in 0..2 {
        let id = world.schedule(PAYMENTS, 1).remove(0);
        let (task, _) = other.next().await;
        let worker = other;
        other = Client::consuming(&world.amqp_uri, 1).await;
        let ended = worker.end();
        let declaring = worker.channel.queue_declare(
            "poison".into(),
            QueueDeclareOptions::default(),
            FieldTable::default(),
        );
        assert!(declaring.await.is_err());
        let why = ended.await;
        assert!(why.contains("INTERNAL_ERROR - a bug"), "{why}");
        let line = bridge.logged("reading a worker's method panicked").await;
        // queue.declare
        assert!(
            line.contains("ERROR") && line.contains("class=50") && line.contains("method=10"),
            "{line}"
        );

        let (again, delivery) = other.next().await;
        assert_eq!(again.id(), task.id());
        other.says(&again, Answer::done("ok").remove(0)).await;
        ack(&delivery).await;
        assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    }
    bridge.idle().await;
    world.assert_each_completed_once(2);
    assert!(bridge.terminate().await.success());
}

/// The delivery has left its queue, and no connection has it yet.
#[tokio::test]
async fn a_panic_in_the_midst_of_a_delivery_ends_the_process_and_the_next_one_has_its_task() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let settings = "poll_without_consumers = true\nmax_ready = 10";
    let routes = [Route::new(PAYMENTS).plain_acks().with(settings)];
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "after-deliver:2")];
    let mut bridge = world.bridge_in(&env, "", &routes).await;
    let ids = world.schedule(PAYMENTS, 2);
    let waiting = "route_tasks_in_flight{route=\"payments\",source=\"swf\",state=\"waiting\"}";
    eventually("two tasks in the queue", || async {
        (bridge.metric(waiting).await == 2.0).then_some(())
    })
    .await;
    let mut one = Client::consuming(&world.amqp_uri, 1).await;
    let (with_one, _) = one.next().await;
    let mut another = Raw::at(&world.amqp_uri).await;
    another.send(&consume(1, PAYMENTS)).await;
    assert_eq!(bridge.ended().await.code(), Some(1));
    let line = bridge.logged("a task of the runtime panicked").await;
    assert!(line.contains("ERROR"), "{line}");

    let mut next = world.bridge_in(&[], "", &routes).await;
    let mut worker = Client::consuming(&world.amqp_uri, 2).await;
    let mut again = Vec::new();
    for _ in &ids {
        let (task, delivery) = worker.next().await;
        worker.says(&task, Answer::done("ok").remove(0)).await;
        ack(&delivery).await;
        again.push(task.id().to_owned());
    }
    assert!(again.iter().any(|id| *id == with_one.id()), "{again:?}");
    for id in &ids {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
    next.idle().await;
    world.assert_each_completed_once(2);
    assert!(next.terminate().await.success());
}

#[tokio::test]
async fn a_loop_of_the_files_that_panics_ends_the_process() {
    let world = World::of_the_endpoint(HOLD).await;
    let path = world.dir().join("password");
    fs::write(&path, "secret\n").expect("writable");
    let settings = format!(
        "[[amqp.users]]\nname = \"worker\"\npassword_file = {:?}\n",
        path.display().to_string()
    );
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "files-loop")];
    let route = Route::new(PAYMENTS).plain_acks();
    let mut bridge = world.bridge_in(&env, &settings, &[route]).await;
    assert_eq!(bridge.ended().await.code(), Some(1));
    let line = bridge.logged("a loop panicked").await;
    let name = "the endpoint's files";
    assert!(line.contains(&format!("{name:?}")), "{line}");
}
