//! Replies: what is acknowledged, and when.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::{Announcement, Delivery, ParkError, PublishError},
    context::MAX_PARK_RETRIES,
    source::SourceError,
    store::Note,
    task::{OutcomeKind::Completed, Status, TaskId},
};

#[tokio::test(start_paused = true)]
async fn a_reply_is_acknowledged_when_aws_has_it_then_the_record_goes_and_then_the_slot() {
    let world = World::new();
    let accept = world.source.settles.hold();
    let remove = world.store.removes.hold();
    let id = world.dispatch().await;
    world.reply(id, "completed", "done").await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Ack(1)), 0);
    accept.send(Ok(())).expect("it is awaited");
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Ack(1)), 1);
    assert_eq!(world.route.slots.in_use(), 1, "its record is still there");
    remove.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    let order = [Did::Accepted(Completed), Did::Ack(1), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn of_two_replies_that_race_one_is_settled_and_the_second_is_acknowledged_when_aws_has_it() {
    let world = World::new();
    let accept = world.source.settles.hold();
    let id = world.dispatch().await;
    world.reply(id, "completed", "one").await;
    world.reply(id, "failed", "two").await;
    world.settle_down().await;
    assert_eq!(
        world.log.count(&Did::Ack(1)),
        1,
        "the second is held instead"
    );
    assert_eq!(world.log.count(&Did::Ack(2)), 0);
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.settles(), 1);
    let order = [Did::Accepted(Completed), Did::Ack(2), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_has_ended_is_acknowledged_and_goes_nowhere() {
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "completed", "one").await;
    world.all_ended().await;
    world.reply(id, "completed", "one").await;
    world.log.wait_for(Did::Ack(2)).await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_a_task_which_has_ended_is_told_that_it_is_gone() {
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "completed", "").await;
    world.all_ended().await;
    world.ask(id, "started").await;
    world.log.wait_for(Did::Ack(2)).await;
    world.log.wait_for(Did::Announce(Announcement::Gone)).await;
    world
        .log
        .assert_order(&[Did::Answer(Status::Gone), Did::Ack(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_task_that_nobody_knows_is_parked_before_it_is_acknowledged() {
    let world = World::with(Kind::File, "");
    world.reply(TaskId::random(), "completed", "").await;
    world.log.wait_for(Did::Ack(1)).await;
    let because = "no task of this bridge has this correlation_id".to_owned();
    world.log.assert_order(&[Did::Park(because), Did::Ack(1)]);
    assert_eq!(world.log.settles(), 0);
}

/// The number of answers to signs of life.
fn answers(world: &World) -> usize {
    world.log.times(|did| matches!(did, Did::Answer(_))).len()
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_of_a_task_that_nobody_knows_is_parked_and_not_answered() {
    for kind in [Kind::File, Kind::Redis] {
        let world = World::with(kind, "");
        for (number, sign) in ["heartbeat", "started"].into_iter().enumerate() {
            world.ask(TaskId::random(), sign).await;
            world.log.wait_for(Did::Ack(number + 1)).await;
        }
        assert_eq!((world.log.parked(), answers(&world)), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_goes_where_it_would_be_a_task_a_reply_or_a_parked_reply() {
    let more = "\n[[routes]]\nname = \"mail\"\nqueue = \"mails\"\n\
                swf = { domain = \"shop\", task_list = \"mail\" }";
    let world = World::with(Kind::Memory, more);
    let id = world.dispatch().await;
    let queues = [
        "payments",
        "mails",
        "activity-bridge.parked",
        "activity-bridge.replies",
        "activity-bridge.replies.flow",
    ];
    for (number, to) in queues.into_iter().enumerate() {
        world.ask_at(id, "heartbeat", to).await;
        world.log.wait_for(Did::Ack(number + 1)).await;
        assert_eq!(answers(&world), 0, "{to}");
    }
    world.ask_at(id, "heartbeat", "payments.worker").await;
    world.log.wait_for(Did::Ack(queues.len() + 1)).await;
    assert_eq!(answers(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_can_not_be_used_is_parked_then_fails_the_task_and_is_then_acknowledged() {
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "finished", "?").await;
    world.all_ended().await;
    let parked = world.log.times(|did| matches!(did, Did::Park(_)));
    assert_eq!(parked.len(), 1);
    assert_eq!(world.log.settles(), 1);
    let failed = Did::Accepted(activity_bridge::task::OutcomeKind::Failed);
    world.log.assert_order(&[failed, Did::Ack(1), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_not_acknowledged_before_it_is_parked() {
    let world = World::new();
    for _ in 0..5 {
        world.broker.parks.then(Err(PublishError::Away.into()));
    }
    let parked = world.broker.parks.hold();
    world.reply(TaskId::random(), "completed", "").await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.count(&Did::Ack(1)), 0);
    parked.send(Ok(())).expect("it is awaited");
    world.log.wait_for(Did::Ack(1)).await;
    assert_eq!(world.log.parked(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_parked_a_few_replies_wait_and_the_others_are_put_back() {
    let world = World::new();
    *world.broker.parking_problem.lock() = Some("no leader".to_owned());
    for _ in 0..MAX_PARK_RETRIES + 5 {
        world.reply(TaskId::random(), "completed", "").await;
    }
    world.at(secs(100.0)).await;
    let acks = || world.log.times(|did| matches!(did, Did::Ack(_))).len();
    assert_eq!((world.log.count(&Did::PutBack), acks()), (5, 5));

    *world.broker.parking_problem.lock() = None;
    world.at(secs(120.0)).await;
    let all = MAX_PARK_RETRIES + 5;
    assert_eq!((world.log.parked(), acks()), (MAX_PARK_RETRIES, all));
    // The places are free again.
    *world.broker.parking_problem.lock() = Some("no leader".to_owned());
    world.reply(TaskId::random(), "completed", "").await;
    world.at(secs(140.0)).await;
    assert_eq!((world.log.count(&Did::PutBack), acks()), (5, all));
}

#[tokio::test(start_paused = true)]
async fn an_unusable_reply_that_is_put_back_leaves_its_task_open_until_it_comes_again() {
    let world = World::new();
    *world.broker.parking_problem.lock() = Some("no leader".to_owned());
    for _ in 0..MAX_PARK_RETRIES {
        world.reply(TaskId::random(), "completed", "").await;
    }
    let id = world.dispatch().await;
    let number = world.reply(id, "finished", "?").await;
    world.log.wait_for(Did::Ack(number)).await;
    assert_eq!(
        (world.log.count(&Did::PutBack), world.log.settles()),
        (1, 0)
    );
    *world.broker.parking_problem.lock() = None;
    let again = world.reply(id, "finished", "?").await;
    world.log.wait_for(Did::Ack(again)).await;
    assert_eq!(world.log.settles(), 1);
}

/// The parking is full, once.
fn no_room(world: &World) {
    let full = ParkError::NoRoom("it is full".to_owned());
    world.broker.parks.then(Err(full));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_can_not_be_parked_fails_its_task_and_its_sender_is_told() {
    let world = World::on_the_endpoint("");
    no_room(&world);
    let id = world.deliver().await;
    world.reply(id, "finished", "?").await;
    world.all_ended().await;
    world.log.wait_for(Did::Requeue(1)).await;
    assert_eq!((world.log.settles(), world.log.parked()), (1, 0));
    assert_eq!(world.log.count(&Did::Ack(1)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_an_unknown_task_that_can_not_be_parked_is_given_back_to_its_sender() {
    let world = World::on_the_endpoint("");
    no_room(&world);
    world.reply(TaskId::random(), "completed", "").await;
    world.log.wait_for(Did::Requeue(1)).await;
    assert_eq!((world.log.parked(), world.log.count(&Did::Ack(1))), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_aws_rejects_and_that_can_not_be_parked_is_given_back_and_the_task_fails() {
    let world = World::on_the_endpoint("");
    no_room(&world);
    let invalid = SourceError::Invalid("too long".to_owned());
    world.source.settles.then(Err(invalid));
    let id = world.deliver().await;
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!((world.log.settles(), world.log.parked()), (2, 0));
    let failed = Did::Accepted(activity_bridge::task::OutcomeKind::Failed);
    world.log.assert_order(&[Did::Requeue(1), failed]);
    assert_eq!(world.log.count(&Did::Ack(1)), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_broker_no_reply_is_acknowledged_before_aws_has_the_outcome() {
    let world = World::on_the_endpoint("");
    let accept = world.source.settles.hold();
    let id = world.deliver().await;
    for kind in ["completed", "failed", "completed"] {
        world.reply(id, kind, "done").await;
    }
    world.settle_down().await;
    for reply in 1..=3 {
        assert_eq!(world.log.count(&Did::Ack(reply)), 0, "{reply}");
    }
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    assert_eq!(world.log.settles(), 1);
    let acks = [1, 2, 3].map(Did::Ack);
    world.log.assert_order(&acks);
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_can_not_be_parked_and_comes_again_and_again_keeps_no_task_alive() {
    let world = World::new();
    let id = world.dispatch().await;
    *world.broker.parking_problem.lock() = Some("no leader".to_owned());
    for _ in 0..MAX_PARK_RETRIES {
        world.reply(TaskId::random(), "completed", "").await;
    }
    let begun = || {
        let notes = world.store.notes.lock();
        notes.contains(&(id, Note::Begun))
    };
    let no_text = |sign: &mut Delivery| sign.body = vec![0xff];
    for round in 1..=10 {
        world.reply_with(id, "heartbeat", no_text).await;
        world.at(secs(2.0 * f64::from(round))).await;
    }
    assert_eq!(world.log.count(&Did::PutBack), 10);
    assert!(!begun(), "nothing that is kept says so");
    *world.broker.parking_problem.lock() = None;
    world.at(secs(60.0)).await;
    world.reply_with(id, "heartbeat", no_text).await;
    world.settle_down().await;
    assert!(begun());
}
