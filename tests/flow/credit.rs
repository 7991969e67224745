//! Polls that follow the credit of the workers, where the broker tells it.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{broker::PublishError, intake::gate::Gate, source::SourceError, task::Task};
use tokio::sync::oneshot;

type PollAnswer = oneshot::Sender<Result<Option<Task>, SourceError>>;

/// One route more, to the same queue.
const SECOND: &str = "\n[[routes]]\nname = \"refunds\"\nqueue = \"payments\"\n\
                      swf = { domain = \"shop\", task_list = \"refunds\" }\n";

fn polls(world: &World) -> usize {
    world.log.count(&Did::Poll)
}

/// The next polls, each answered when the test says so.
fn hold(world: &World, number: usize) -> Vec<PollAnswer> {
    (0..number).map(|_| world.source.polls.hold()).collect()
}

async fn bring_a_task(world: &World, poll: PollAnswer) {
    poll.send(Ok(Some(world.task()))).expect("it is awaited");
    world.settle_down().await;
}

/// Polls have tasks at once.
fn bring_tasks(world: &World, number: usize) {
    for _ in 0..number {
        world.source.polls.then(Ok(Some(world.task())));
    }
}

#[tokio::test(start_paused = true)]
async fn without_credit_nothing_is_polled_and_credit_opens_the_gate_at_once() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(0);
    world.poll();
    world.at(secs(10.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::NoCredit);
    assert_eq!(polls(&world), 0);
    world.broker.set_credit(1);
    let begun = world.log.wait_for(Did::Poll).await;
    assert!(begun - secs(10.0) <= MOMENT, "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn credit_that_comes_while_the_queue_is_observed_is_not_missed() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(0);
    let answer = world.broker.observations.hold();
    world.poll();
    world.settle_down().await;
    world.broker.set_credit(1);
    answer.send(()).expect("it is awaited");
    let begun = world.log.wait_for(Did::Poll).await;
    assert!(begun <= 3 * MOMENT, "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_busy_with_its_only_task_costs_no_second_poll_until_it_is_done() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(1);
    let mut held = hold(&world, 2).into_iter();
    world.poll();
    world.settle_down().await;
    assert_eq!(polls(&world), 1, "a second poll for one worker");
    assert_eq!(*world.gate.borrow(), Gate::Open);
    bring_a_task(&world, held.next().expect("the first poll")).await;
    assert_eq!(*world.gate.borrow(), Gate::NoCredit);
    world.at(secs(1_000.0)).await;
    assert_eq!(polls(&world), 1, "a poll for a worker that is busy");
    world.broker.finish_one();
    world.settle_down().await;
    assert_eq!(polls(&world), 2, "the next poll does not wait");
    world.at(secs(1_001.0)).await;
    assert_eq!(polls(&world), 2);
}

/// Between the broker's confirm and the next observation, the last observation still tells the credit that the task has used.
#[tokio::test(start_paused = true)]
async fn credit_that_a_delivered_task_has_used_is_not_used_again_before_the_queue_is_observed() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(3);
    bring_tasks(&world, 20);
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 3);
    for done in 1..=4 {
        world.broker.finish_one();
        world.settle_down().await;
        assert_eq!(polls(&world), 3 + done);
    }
}

#[tokio::test(start_paused = true)]
async fn while_workers_are_fast_as_many_tasks_wait_as_they_took_in_the_last_second() {
    let mut world = World::on_the_endpoint("");
    world.broker.tell(1, 0, 3);
    bring_tasks(&world, 20);
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 3);
    world.broker.finish_one();
    world.settle_down().await;
    assert_eq!(polls(&world), 4);
}

#[tokio::test(start_paused = true)]
async fn a_number_of_tasks_that_may_wait_holds_however_slow_the_workers_are() {
    let mut world = World::on_the_endpoint("max_ready = 2");
    world.broker.set_credit(1);
    bring_tasks(&world, 20);
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn routes_to_one_queue_share_its_credit() {
    let mut world = World::on_the_endpoint(SECOND);
    world.broker.set_credit(3);
    let mut held = hold(&world, 4);
    world.poll();
    world.settle_down().await;
    assert_eq!(polls(&world), 3, "two for each route are one too many");
    for poll in held.drain(..3) {
        poll.send(Ok(Some(world.task()))).expect("it is awaited");
    }
    world.at(secs(50.0)).await;
    assert_eq!(polls(&world), 3, "all three workers are busy");
    world.broker.finish_one();
    world.settle_down().await;
    assert!(polls(&world) > 3);
}

/// AWS holds an empty poll for a minute. A task of the other route must not wait for it beside an idle worker.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_of_two_routes_has_one_poll_for_each_and_a_task_of_one_stops_both() {
    let mut world = World::on_the_endpoint(SECOND);
    world.broker.set_credit(1);
    let mut held = hold(&world, 4);
    world.poll();
    world.at(secs(30.0)).await;
    assert_eq!(polls(&world), 2);
    bring_a_task(&world, held.remove(0)).await;
    held.remove(0).send(Ok(None)).expect("it is awaited");
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 2, "the worker is busy");
    world.broker.finish_one();
    world.settle_down().await;
    assert_eq!(polls(&world), 4);
}

#[tokio::test(start_paused = true)]
async fn routes_to_two_queues_share_nothing() {
    let other = SECOND.replace("queue = \"payments\"", "queue = \"refunds\"");
    let mut world = World::on_the_endpoint(&other);
    world.broker.set_credit(2);
    world.poll();
    world.at(secs(30.0)).await;
    assert_eq!(polls(&world), 4);
}

#[tokio::test(start_paused = true)]
async fn a_written_minimum_of_polls_holds_without_credit_and_as_many_tasks_may_wait() {
    let mut world = World::on_the_endpoint("pollers.min = 3");
    world.broker.set_credit(0);
    let held = hold(&world, 10);
    world.poll();
    world.at(secs(10.0)).await;
    assert_eq!(polls(&world), 3);
    for poll in held.into_iter().take(3) {
        bring_a_task(&world, poll).await;
    }
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 3, "three tasks wait");
    world.broker.finish_one();
    world.settle_down().await;
    assert_eq!(polls(&world), 4);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_only_fetches_finds_as_many_tasks_as_may_wait() {
    let settings = "poll_without_consumers = true\nmax_ready = 1";
    let mut world = World::on_the_endpoint(settings);
    bring_tasks(&world, 20);
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 1);
    world.broker.get();
    world.settle_down().await;
    assert_eq!(polls(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_open_when_the_credit_goes_is_not_cancelled_and_its_task_waits() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(1);
    let poll = hold(&world, 1).remove(0);
    world.poll();
    world.settle_down().await;
    world.broker.set_credit(0);
    world.at(secs(30.0)).await;
    bring_a_task(&world, poll).await;
    assert_eq!(world.broker.published.lock().len(), 1);
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_ends_without_a_task_gives_its_credit_to_the_next() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(1);
    world.poll();
    world.at(secs(59.0)).await;
    assert_eq!(polls(&world), 1);
    world.at(secs(61.0)).await;
    assert_eq!(polls(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_the_broker_does_not_take_keeps_its_credit_until_it_has_ended() {
    let mut world = World::on_the_endpoint("");
    world.broker.set_credit(1);
    let refused = world.broker.publishes.hold();
    let taken = world.broker.publishes.hold();
    bring_tasks(&world, 20);
    world.poll();
    world.settle_down().await;
    let full = PublishError::Nacked("full");
    refused.send(Err(full)).expect("it is awaited");
    world.at(secs(100.0)).await;
    assert_eq!(polls(&world), 1);
    taken.send(Ok(())).expect("it is awaited");
    world.at(secs(200.0)).await;
    assert_eq!(polls(&world), 1, "the worker has the task");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_tells_no_credit_is_polled_for_as_long_as_its_queue_has_room() {
    let mut world = World::with(Kind::Memory, "max_in_flight = 5");
    bring_tasks(&world, 20);
    world.poll();
    world.at(secs(10.0)).await;
    assert_eq!(polls(&world), 5);
}
