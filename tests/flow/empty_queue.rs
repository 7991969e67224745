//! Tasks that wait although their queue is empty: it was purged.

use super::{
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    admin::notes::notes,
    broker::{Durability, Link, Readiness, ReadinessError},
};

const POLL_ANYWAY: &str = "poll_without_consumers = true\npollers = { min = 1, max = 1 }";

fn holds(world: &World, ready: u64, consumers: u64) {
    *world.broker.readiness.lock() = Ok(Readiness {
        ready,
        consumers,
        ..Readiness::default()
    });
}

/// The notes about the route.
fn noted(world: &World) -> Vec<String> {
    notes(&*world.bridge.broker, &world.route)
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_while_their_queue_is_empty_and_without_consumers_are_told_after_a_minute()
{
    let mut world = World::with(Kind::File, POLL_ANYWAY);
    holds(&world, 0, 0);
    world.dispatch().await;
    let begun = world.dispatch().await;
    world.reply(begun, "started", "").await;
    world.poll();
    world.at(secs(59.0)).await;
    assert_eq!(world.route.missing(), 0);
    assert!(noted(&world).is_empty());
    world.at(secs(63.0)).await;
    assert_eq!(world.route.missing(), 1);
    let note = "1 tasks wait for a worker, but queue payments has been empty and without consumers for a minute: was it purged? activity-bridge release --route payments publishes them again";
    assert_eq!(noted(&world), [note]);
    holds(&world, 0, 1);
    world.at(secs(65.0)).await;
    assert_eq!(world.route.missing(), 0, "a worker may have it");
    assert!(noted(&world).is_empty());
    holds(&world, 0, 0);
    world.at(secs(130.0)).await;
    assert_eq!(world.route.missing(), 1);
    let away = Link::Away("cut".to_owned());
    world.broker.link.send_replace(away);
    world.at(secs(132.0)).await;
    assert_eq!(world.route.missing(), 0, "nobody knows");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_not_seen_to_be_empty_for_a_minute_says_nothing() {
    let mut world = World::with(Kind::File, POLL_ANYWAY);
    holds(&world, 0, 0);
    world.dispatch().await;
    world.poll();
    // Every 40 s something is in it, or it can't be seen.
    for round in 1..=4 {
        world.at(secs(f64::from(round) * 40.0 - 3.0)).await;
        match round % 2 {
            0 => holds(&world, 1, 0),
            _ => {
                let away = ReadinessError::Away("cut".to_owned());
                *world.broker.readiness.lock() = Err(away);
            }
        }
        world.at(secs(f64::from(round) * 40.0)).await;
        holds(&world, 0, 0);
        assert_eq!(world.route.missing(), 0, "{round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_task_is_not_missing_and_without_tasks_nothing_is() {
    let mut world = World::with(Kind::File, POLL_ANYWAY);
    holds(&world, 0, 0);
    world.poll();
    world.at(secs(100.0)).await;
    assert_eq!(world.route.missing(), 0);
    // The look may be older than the task.
    world.dispatch().await;
    world.at(secs(150.0)).await;
    assert_eq!(world.route.missing(), 0);
    world.at(secs(165.0)).await;
    assert_eq!(world.route.missing(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_an_exchange_or_the_bridge_itself_has_the_tasks_nothing_is_said() {
    let settings = format!(
        r#"{POLL_ANYWAY}
        [[routes]]
        name = "elsewhere"
        exchange = "theirs"
        routing_key = "any"
        queue = "one-of-theirs"
        poll_without_consumers = true
        swf = {{ domain = "shop", task_list = "elsewhere" }}
        "#
    );
    let mut world = World::with(Kind::File, &settings);
    world.route = world.bridge.routes.all()[1].clone();
    let mut forgetful = World::before_the_start_with(Kind::File, POLL_ANYWAY, Durability::Process);
    for world in [&mut world, &mut forgetful] {
        holds(world, 0, 0);
        world.submit(world.task()).await;
        world.poll();
        world.at(secs(200.0)).await;
        assert_eq!(world.route.missing(), 0);
    }
}
