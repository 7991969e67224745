//! Routes that are added and removed while the bridge is the broker: their queues come and go.

use crate::{
    harness::{Answer, HOLD, Inbox, Route, World, eventually},
    reload::Reloading,
};
use activity_sim::TaskState;
use futures_util::StreamExt;
use lapin::{
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};

const PAYMENTS: &str = "payments";
const MAIL: &str = "mail";

fn route(name: &str) -> Route {
    Route::new(name)
}

#[tokio::test]
async fn the_queue_of_a_removed_route_ends_with_its_consumers_and_comes_back_with_the_route() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Reloading::start(&world, &[route(PAYMENTS), route(MAIL)]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let consume = inbox.channel().basic_consume(
        MAIL.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = consume.await.expect("consumed");
    assert_eq!(
        scene.reloaded(&[route(PAYMENTS)]).await,
        "routes removed: mail\n"
    );
    scene.bridge.logged("the route has ended").await;
    let ended = tokio::time::timeout(crate::harness::TEST_TIMEOUT, consumer.next()).await;
    assert!(
        ended.expect("in time").is_none(),
        "the consumer was cancelled"
    );

    assert_eq!(
        scene.reloaded(&[route(PAYMENTS), route(MAIL)]).await,
        "routes added: mail\n"
    );
    let _worker = world.worker(MAIL, |_| Answer::done("ok")).await;
    let id = world.schedule(MAIL, 1).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn the_bounds_on_workers_change_and_what_is_open_stays_open() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Reloading::start(&world, &[route(PAYMENTS)]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let _queue = inbox.own_queue().await;
    scene.write_with("[amqp]\n", "[amqp]\nmax_own_queues = 1\n");
    let said = scene.reload().await.out;
    assert_eq!(said, "other keys changed: amqp.max_own_queues\n");
    let declare = inbox.channel().queue_declare(
        "".into(),
        QueueDeclareOptions::exclusive(),
        FieldTable::default(),
    );
    let refused = declare.await.expect_err("it has one").to_string();
    assert!(refused.contains("more than 1 queues"), "{refused}");
}

/// A worker may have come before its route.
#[tokio::test]
async fn a_worker_s_own_queue_makes_room_for_the_queue_of_a_new_route() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Reloading::start(&world, &[route(PAYMENTS)]).await;
    let early = Inbox::connect(&world.amqp_uri).await;
    let declare = early.channel().queue_declare(
        MAIL.into(),
        QueueDeclareOptions::default(),
        FieldTable::default(),
    );
    declare.await.expect("declared");
    scene.reloaded(&[route(PAYMENTS), route(MAIL)]).await;
    scene
        .bridge
        .logged("a worker's own queue has the name of a route's queue")
        .await;
    let _worker = world.worker(MAIL, |_| Answer::done("ok")).await;
    let id = world.schedule(MAIL, 1).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn tasks_in_the_former_queue_of_a_route_still_reach_their_workers() {
    let world = World::of_the_endpoint(HOLD).await;
    let waiting = || route(PAYMENTS).with("poll_without_consumers = true");
    let scene = Reloading::start(&world, &[waiting()]).await;
    let former = world.schedule(PAYMENTS, 2);
    eventually("the confirms", || async {
        let series = "publishes_total{outcome=\"confirmed\",route=\"payments\"";
        (scene.bridge.metric(series).await == 2.0).then_some(())
    })
    .await;
    let elsewhere = waiting().queue("new");
    assert_eq!(
        scene.reloaded(&[elsewhere]).await,
        "routes changed: payments\n"
    );
    let _worker = world.worker("new", |_| Answer::done("new")).await;
    // An open poll of before may bring it to the former queue.
    let later = world.schedule(PAYMENTS, 3);
    let _former_worker = world.worker(PAYMENTS, |_| Answer::done("former")).await;
    for id in former.iter().chain(&later) {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
}
