//! How replies are read: what clients and gateways make of a reply must not hide what its worker says.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::Durability,
    intake::recovery,
    task::{
        HeaderValue, Outcome,
        OutcomeKind::{self, Completed, Failed},
        Task, TaskId,
    },
};

/// Everything has ended by this outcome, and nothing was parked.
async fn ended(world: &World, outcome: OutcomeKind) {
    world.all_ended().await;
    let accepted = world.log.times(|did| matches!(did, Did::Accepted(_)));
    assert_eq!(accepted.len(), 1);
    world.log.assert_order(&[Did::Accepted(outcome)]);
    assert_eq!(world.log.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_tasks_own_type_completes_the_task() {
    for broker in [Durability::Durable, Durability::Process] {
        let world = World::with_broker(broker);
        let id = world.submit(world.task()).await;
        world.log.wait_for(Did::Publish).await;
        world.reply(id, "charge", "done").await;
        ended(&world, Completed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_header_of_a_gateway_s_worker_wins_over_the_copied_type() {
    let world = World::new();
    let id = world.dispatch().await;
    world
        .reply_with(id, "charge", |reply| {
            let failed = HeaderValue::Text("failed".to_owned());
            reply.headers.push(("reply-type".to_owned(), failed));
        })
        .await;
    ended(&world, Failed).await;
}

#[tokio::test(start_paused = true)]
async fn an_activity_with_the_name_of_a_type_does_not_change_what_the_type_means() {
    let world = World::new();
    let task = Task {
        activity: "heartbeat".to_owned(),
        ..world.task()
    };
    let id = world.submit(task).await;
    world.log.wait_for(Did::NotedConfirm).await;
    world.reply(id, "heartbeat", "half").await;
    world.at(secs(1.0)).await;
    assert_eq!((world.log.settles(), world.log.parked()), (0, 0));
    world.reply(id, "completed", "done").await;
    ended(&world, Completed).await;
}

#[tokio::test(start_paused = true)]
async fn a_type_that_somebody_chose_is_still_unusable() {
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "charged", "?").await;
    world.all_ended().await;
    assert_eq!(world.log.parked(), 1);
    world.log.assert_order(&[Did::Accepted(Failed)]);
}

#[tokio::test(start_paused = true)]
async fn an_adopted_task_knows_its_activity_from_the_record() {
    let world = World::before_the_start(Kind::File, "");
    let task = world.task();
    let record = world.record(&task, true);
    world.store.orphans.lock().push_back(record);
    recovery::restore_all(&world.bridge).await;
    world.reply(task.id, "charge", "done").await;
    ended(&world, Completed).await;
}

/// An earlier version wrote the record: it has no activity. The message has.
#[tokio::test(start_paused = true)]
async fn a_task_of_an_earlier_version_knows_its_activity_from_the_message() {
    let world = World::before_the_start(Kind::File, "");
    let task = world.task();
    let id = task.id;
    let mut record = world.record(&task, false);
    record.activity = "".into();
    world.store.orphans.lock().push_back(record);
    world.store.messages.lock().insert(id, task);
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    world.reply(id, "charge", "done").await;
    ended(&world, Completed).await;
}

#[tokio::test(start_paused = true)]
async fn a_correlation_id_that_is_written_as_a_uuid_is_the_same_id() {
    let world = World::new();
    let id = world.dispatch().await;
    let braced = as_uuid(id);
    world
        .reply_with(id, "completed", |reply| reply.correlation_id = Some(braced))
        .await;
    ended(&world, Completed).await;
}

fn as_uuid(id: TaskId) -> String {
    let digits = format!("{:032X}", u128::from(id));
    let [a, b, c, d, e] =
        [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)].map(|(from, to)| &digits[from..to]);
    format!("{{{a}-{b}-{c}-{d}-{e}}}")
}

#[tokio::test(start_paused = true)]
async fn a_number_as_the_reason_is_the_reason() {
    let world = World::new();
    let id = world.dispatch().await;
    world
        .reply_with(id, "failed", |reply| {
            let reason = HeaderValue::Integer(42);
            reply.headers.push(("reason".to_owned(), reason));
        })
        .await;
    ended(&world, Failed).await;
    let outcomes = world.source.outcomes.lock();
    let [Outcome::Failed { reason, .. }] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(reason, "42");
}
