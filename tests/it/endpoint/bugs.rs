//! Panics of a bridge that is the broker. Those that both brokers have are in `panics`.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Answer, HOLD, Route, Store, World};
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
async fn a_method_over_which_the_endpoint_panics_costs_the_connection_that_sent_it_and_nothing_else()
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
        let line = bridge
            .logged("doing what a worker asked for panicked")
            .await;
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
    assert!(line.contains("\"the endpoint's files\""), "{line}");
}
