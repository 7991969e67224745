//! Panics over one message, each of which would be a bug: they cost that message. Otherwise the next process would get it too. Those
//! that a broker or a loop causes are in `it`.

use super::{
    log::Did,
    source::POISON,
    store::Kind,
    world::{INTERVAL, World, secs},
};
use activity_bridge::{
    broker::Durability,
    intake::recovery,
    store::{Claim, PeerEvent, Renewal},
    task::{
        Outcome,
        OutcomeKind::{Completed, Failed},
        OwnFailure, TaskId,
    },
};

const BECAUSE: &str = "handling it panicked; this is a bug of activity-bridge";

fn parked() -> Did {
    Did::Park(BECAUSE.to_owned())
}

/// The task goes on, and so does everything else.
async fn completes(world: &World, id: TaskId) {
    let reply = world.reply(id, "completed", "done").await;
    world.log.wait_for(Did::Ack(reply)).await;
    world
        .log
        .assert_order(&[Did::Accepted(Completed), Did::Ack(reply)]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_panics_frees_its_slot_and_the_next_one_is_made() {
    let one = "max_in_flight = 1\npollers = { min = 1, max = 1 }";
    let mut world = World::with(Kind::Memory, one);
    for _ in 0..3 {
        world.source.polls.panics();
    }
    let answer = world.source.polls.hold();
    world.poll();
    world.at(secs(10.0)).await;
    assert_eq!(world.log.count(&Did::Poll), 4);
    assert_eq!(world.route.slots.in_use(), 1, "that of the open poll");
    let task = world.task();
    let id = task.id;
    answer.send(Ok(Some(task))).expect("it is awaited");
    world.log.wait_for(Did::NotedConfirm).await;
    completes(&world, id).await;
    world.settle_down().await;
    assert_eq!(world.log.count(&Did::Poll), 5);
}

#[tokio::test(start_paused = true)]
async fn details_over_which_a_heartbeat_panics_are_dropped() {
    let world = World::new();
    let id = world.dispatch().await;
    world.source.beats.panics();
    world.reply(id, "heartbeat", "strange").await;
    world.log.wait_for(Did::Beat("strange".to_owned())).await;
    world.reply(id, "heartbeat", "plain").await;
    let second = world.log.wait_for(Did::Beat("plain".to_owned())).await;
    assert!(second <= 2 * INTERVAL, "{second:?}");
    assert_eq!(world.log.count(&Did::Beat("strange".to_owned())), 1);
    completes(&world, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_whose_answer_panics_is_parked() {
    let world = World::new();
    let id = world.dispatch().await;
    world.broker.answers.panics();
    let sign = world.ask(id, "heartbeat").await;
    world.log.wait_for(Did::Ack(sign)).await;
    world.log.assert_order(&[parked(), Did::Ack(sign)]);
    completes(&world, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_panics_on_its_way_to_another_process_is_parked() {
    let world = World::with(Kind::Redis, "");
    world.store.forwards.panics();
    let sign = world.reply(TaskId::random(), "heartbeat", "").await;
    world.log.wait_for(Did::Ack(sign)).await;
    world.log.assert_order(&[parked(), Did::Ack(sign)]);
}

#[tokio::test(start_paused = true)]
async fn a_result_over_which_the_look_for_its_process_panics_is_parked() {
    let world = World::with(Kind::Redis, "");
    world.store.claims.panics();
    let reply = world.reply(TaskId::random(), "completed", "").await;
    world.log.wait_for(Did::Ack(reply)).await;
    world.log.assert_order(&[parked(), Did::Ack(reply)]);
    let task = world.task();
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.then(Ok(claim));
    completes(&world, task.id).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_over_which_the_look_for_its_process_panics_fails_its_task() {
    let world = World::with(Kind::Redis, "");
    let task = world.task();
    world.store.claims.panics();
    let claim = Claim::Ours(world.record(&task, true));
    world.store.claims.then(Ok(claim));
    let reply = world.reply(task.id, "completed", "").await;
    world.log.wait_for(Did::Removed).await;
    let failed = Did::Accepted(activity_bridge::task::OutcomeKind::Failed);
    world
        .log
        .assert_order(&[parked(), failed, Did::Ack(reply), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_parked_reply_over_whose_task_the_bridge_panics_is_acknowledged() {
    let world = World::with(Kind::Redis, "");
    let parked = world.broker.parks.hold();
    let id = world.dispatch().await;
    let reply = world.reply(id, "finished", "?").await;
    // Another process takes the task meanwhile.
    world.store.renewals.then(Ok(Renewal {
        lapsed: false,
        events: vec![PeerEvent::Taken(id)],
    }));
    world.at(secs(1.0)).await;
    world.store.claims.panics();
    parked.send(Ok(())).expect("it is awaited");
    world.log.wait_for(Did::Ack(reply)).await;
    world.log.assert_order(&[Did::Claim, Did::Ack(reply)]);
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn details_from_another_process_over_which_the_bridge_panics_are_dropped() {
    let world = World::with(Kind::Redis, "");
    let id = world.dispatch().await;
    let sign = |details: &str| PeerEvent::Sign {
        id,
        details: details.to_owned(),
    };
    world.store.renewals.then(Ok(Renewal {
        lapsed: false,
        events: vec![sign(POISON)],
    }));
    let beat = |did: &Did| matches!(did, Did::Beat(_));
    world.log.wait_until(&Did::Beat(String::new()), beat).await;
    assert_eq!(
        world.log.count(&Did::Beat(String::new())),
        1,
        "without them"
    );
    world.store.renewals.then(Ok(Renewal {
        lapsed: false,
        events: vec![sign("plain")],
    }));
    world.log.wait_for(Did::Beat("plain".to_owned())).await;
    completes(&world, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_in_the_store_over_which_the_bridge_panics_fails_its_task_and_no_other() {
    let world = World::before_the_start(Kind::File, "");
    for _ in 0..2 {
        let task = world.task();
        let orphan = world.record(&task, false);
        world.store.orphans.lock().push_back(orphan);
        world.store.messages.lock().insert(task.id, task);
    }
    world.store.message_answers.panics();
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    world.log.wait_for(Did::Accepted(Failed)).await;
    let words = "publishing it panicked; this is a bug of activity-bridge";
    let failure = Outcome::failed(OwnFailure::Undelivered, words);
    assert_eq!(*world.source.outcomes.lock(), [failure]);
    assert_eq!(world.broker.published.lock().len(), 1, "the other one");
}

#[tokio::test(start_paused = true)]
async fn a_reply_over_which_the_parking_panics_is_taken_out_and_fails_its_task() {
    for durability in [Durability::Durable, Durability::Process] {
        let world = World::with_broker(durability);
        let id = match durability {
            Durability::Durable => world.dispatch().await,
            Durability::Process => world.deliver().await,
        };
        world.broker.parks.panics();
        let reply = world.reply(id, "finished", "?").await;
        // Without a queue of replies, its worker is told that nobody has it.
        world
            .log
            .wait_for(match durability {
                Durability::Durable => Did::Ack(reply),
                Durability::Process => Did::Requeue(reply),
            })
            .await;
        world.log.wait_for(Did::Accepted(Failed)).await;
        assert_eq!(world.log.parked(), 0);
        world.all_ended().await;
    }
}

/// What of the others waits behind it.
#[tokio::test(start_paused = true)]
async fn a_reply_that_panics_delays_no_other() {
    let world = World::new();
    let id = world.dispatch().await;
    world.broker.answers.panics();
    world.ask(id, "heartbeat").await;
    let reply = world.reply(id, "completed", "done").await;
    let acked = world.log.wait_for(Did::Ack(reply)).await;
    assert!(acked < secs(1.0), "{acked:?}");
}
