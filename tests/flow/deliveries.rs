//! What a broker that keeps no messages tells of a task's deliveries.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, MOMENT, T, World, secs},
};
use activity_bridge::{
    broker::{
        Announcement::{CancelRequested, Gone},
        Delivery, Durability, Inbound,
    },
    inflight::{Progress, heartbeat_schedule::Due},
    settle::heartbeat,
    store::{Claim, Note, PeerEvent, Renewal},
    task::{
        DeadLetter, Death, Outcome,
        OutcomeKind::{Canceled, Completed, Failed},
        OwnFailure, TaskId, Timeout, Timeouts,
    },
};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::time::Instant;

const MAX_WAIT: &str = "heartbeat = { max_wait_secs = 25 }";

/// What a question after a quiet task waits beyond the timeout.
const ASK_AFTER: f64 = 0.5;

fn forgetful() -> World {
    World::forgetful(Kind::File, "")
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_silent_worker_has_is_heartbeated_by_the_bridge_and_never_unstarted() {
    let world = World::forgetful(Kind::File, MAX_WAIT);
    let id = world.deliver().await;
    assert_eq!(world.bridge.inflight.list()[0].progress, Progress::Working);
    world.at(secs(600.0)).await;
    for pair in world.log.beats().windows(2) {
        assert!(pair[1] - pair[0] <= INTERVAL + MOMENT, "{pair:?}");
    }
    assert!(world.log.beats().len() >= 59);
    assert_eq!(world.log.settles(), 0);
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_again_is_failed_at_max_wait_secs_after_it_came_back() {
    let world = World::forgetful(Kind::File, MAX_WAIT);
    let id = world.deliver().await;
    world.reply(id, "started", "").await;
    world.at(secs(20.0)).await;
    world.come_back(id, 1).await;
    assert_eq!(world.bridge.inflight.list()[0].progress, Progress::Waiting);
    let failed = world.log.wait_for(Did::Settle(Failed)).await;
    assert!(failed - secs(45.0) <= 2 * MOMENT, "{failed:?}");
    let beats = world.log.beats();
    assert!(beats.iter().any(|at| *at > secs(20.0)), "{beats:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_first_sign_of_life_a_holder_that_goes_quiet_is_noticed_as_ever() {
    let world = forgetful();
    let id = world.deliver().await;
    world.source.time_out_after(T);
    world.at(secs(1.0)).await;
    world.reply(id, "started", "").await;
    let noticed = world.log.wait_for(Did::Announce(Gone)).await;
    let expected = secs(1.0 + ASK_AFTER) + T;
    assert!(noticed - expected <= 2 * MOMENT, "{noticed:?}");
    world.log.assert_order(&[Did::Withdraw(id), Did::Removed]);
}

#[tokio::test(start_paused = true)]
async fn a_bare_acknowledgement_completes_the_task_with_the_empty_result() {
    let world = forgetful();
    let id = world.deliver().await;
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
    let result = String::new();
    assert_eq!(
        *world.source.outcomes.lock(),
        [Outcome::Completed { result }]
    );
    let order = [Did::Withdraw(id), Did::Accepted(Completed), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_changes_nothing_once_an_outcome_is_on_its_way_or_has_come() {
    let world = forgetful();
    let accept = world.source.settles.hold();
    let id = world.deliver().await;
    world.reply(id, "failed", "broken").await;
    world.settle_down().await;
    world.send(Inbound::Acknowledged(id)).await;
    world.settle_down().await;
    accept.send(Ok(())).expect("it is awaited");
    world.all_ended().await;
    world.send(Inbound::Acknowledged(id)).await;
    world.settle_down().await;
    assert_eq!(world.log.settles(), 1);
    assert_eq!(world.log.count(&Did::Accepted(Failed)), 1);
}

/// Another process may have read the sign of life, so the broker need not know of it.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_after_a_sign_of_life_completes_nothing_and_is_a_release() {
    let world = forgetful();
    let id = world.deliver().await;
    world.reply(id, "heartbeat", "half").await;
    world.settle_down().await;
    for _ in 0..2 {
        world.send(Inbound::Acknowledged(id)).await;
        world.settle_down().await;
    }
    assert_eq!(world.log.settles(), 0);
    let released = (id, Note::Released);
    let notes = world.store.notes.lock().clone();
    assert_eq!(notes.iter().filter(|note| **note == released).count(), 1);
    world.reply(id, "completed", "done").await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

/// A sign of life of an earlier holder says nothing of the present one.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_completes_a_task_of_which_only_an_earlier_holder_spoke() {
    let world = forgetful();
    let id = world.deliver().await;
    world.reply(id, "started", "").await;
    world.settle_down().await;
    world.come_back(id, 1).await;
    world.redeliver(id, 1).await;
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_released_task_is_heartbeated_until_its_connection_ends_and_then_times_out() {
    let world = forgetful();
    let id = world.deliver().await;
    world.send(Inbound::Released(id)).await;
    world.source.time_out_after(T);
    world.at(secs(300.0)).await;
    assert!(world.log.beats().len() >= 29, "{:?}", world.log.beats());
    world.send(Inbound::Abandoned(id)).await;
    let gone = world.log.wait_for(Did::Announce(Gone)).await;
    let beats = world.log.beats();
    let last = beats[beats.len() - 2];
    assert!(last <= secs(300.0) + MOMENT, "{last:?}");
    assert!(gone <= last + T + secs(ASK_AFTER) + 2 * MOMENT, "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_released_task_whose_worker_speaks_follows_its_signs_of_life() {
    let world = forgetful();
    let id = world.deliver().await;
    world.send(Inbound::Released(id)).await;
    world.at(secs(1.0)).await;
    world.reply(id, "started", "here").await;
    world.at(secs(1.0) + T).await;
    let told = world.log.times(|did| *did == Did::Beat("here".to_owned()));
    assert_eq!((told.len(), world.log.beats().len()), (1, 1));
    world.send(Inbound::Abandoned(id)).await;
    world.settle_down().await;
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_what_became_of_each_delivery() {
    let world = forgetful();
    let id = world.deliver().await;
    world.come_back(id, 1).await;
    world.redeliver(id, 1).await;
    // Its connection was closed cleanly.
    world.come_back(id, 1).await;
    world.redeliver(id, 1).await;
    world.send(Inbound::Released(id)).await;
    world.settle_down().await;
    let failed = |count| (id, Note::FailedDeliveries(count));
    // A delivery counts as failed until its end is known.
    let expected = [1, 1, 2, 1, 2].map(failed);
    let notes = world.store.notes.lock().clone();
    assert_eq!(notes[..5], expected);
    assert_eq!(notes[5..], [(id, Note::Released)]);
    assert_eq!(world.log.count(&Did::NotedConfirm), 0);
}

#[tokio::test(start_paused = true)]
async fn a_canceled_task_that_nobody_holds_ends_as_canceled_at_once() {
    let world = forgetful();
    let id = world.submit(world.task()).await;
    world.source.cancel.store(true, Relaxed);
    world.all_ended().await;
    assert!(world.log.now() <= INTERVAL + MOMENT);
    assert_eq!(world.log.count(&Did::Announce(CancelRequested)), 0);
    let order = [Did::Withdraw(id), Did::Accepted(Canceled), Did::Removed];
    world.log.assert_order(&order);
}

#[tokio::test(start_paused = true)]
async fn a_canceled_task_that_a_worker_holds_is_announced_and_ends_when_it_comes_back() {
    let world = forgetful();
    let id = world.deliver().await;
    world.source.cancel.store(true, Relaxed);
    world.log.wait_for(Did::Announce(CancelRequested)).await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.settles(), 0);
    world.come_back(id, 1).await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Canceled)), 1);
    assert!(world.log.now() <= secs(100.0) + 2 * MOMENT);
}

#[tokio::test(start_paused = true)]
async fn a_canceled_task_that_its_worker_acknowledges_is_completed() {
    let world = forgetful();
    let id = world.deliver().await;
    world.source.cancel.store(true, Relaxed);
    world.log.wait_for(Did::Announce(CancelRequested)).await;
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
}

/// With a broker that keeps its messages nobody knows who has the task.
#[tokio::test(start_paused = true)]
async fn with_a_durable_broker_a_cancel_is_only_announced() {
    let world = World::new();
    world.dispatch().await;
    world.source.cancel.store(true, Relaxed);
    world.log.wait_for(Did::Announce(CancelRequested)).await;
    world.at(secs(100.0)).await;
    assert_eq!(world.log.settles(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_without_a_message_fails_the_task() {
    let world = forgetful();
    let id = world.deliver().await;
    let dead = DeadLetter {
        death: Death::Rejected,
        queue: "payments".to_owned(),
    };
    let expected = dead.outcome(None);
    world
        .send(Inbound::DeadLetter(dead, Delivery::about(id)))
        .await;
    world.all_ended().await;
    assert_eq!(*world.source.outcomes.lock(), [expected]);
    assert_eq!(world.log.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_a_task_that_is_not_in_flight_changes_nothing() {
    let world = forgetful();
    let task = TaskId::random();
    for told in [
        Inbound::Delivered { task, count: 0 },
        Inbound::CameBack { task, count: 1 },
        Inbound::Released(task),
        Inbound::Abandoned(task),
        Inbound::Acknowledged(task),
    ] {
        world.send(told).await;
    }
    world.settle_down().await;
    assert!(world.store.notes.lock().is_empty());
    assert_eq!((world.log.settles(), world.log.parked()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_process_takes_is_withdrawn_and_its_acknowledgement_claims_it() {
    let world = World::forgetful(Kind::Redis, "");
    let id = world.deliver().await;
    let record = world
        .bridge
        .inflight
        .record(id, world.bridge.broker.durability());
    let record = record.expect("in flight");
    assert!(!record.published && !record.durable);
    assert_eq!(record.failed_deliveries, 1, "it is out");
    world.store.renewals.then(Ok(Renewal {
        lapsed: false,
        events: vec![PeerEvent::Taken(id)],
    }));
    world.log.wait_for(Did::Withdraw(id)).await;
    assert!(world.bridge.inflight.is_empty());
    world.store.claims.then(Ok(Claim::Ours(record)));
    world.send(Inbound::Acknowledged(id)).await;
    world.log.wait_for(Did::Removed).await;
    assert_eq!(world.log.count(&Did::Accepted(Completed)), 1);
    assert_eq!(world.log.count(&Did::Publish), 1);
}

/// It could be delivered while AWS refuses its outcome.
#[tokio::test(start_paused = true)]
async fn the_message_of_a_task_with_an_outcome_is_withdrawn_before_aws_has_the_outcome() {
    let world = World::forgetful(Kind::File, MAX_WAIT);
    for unstarted in [true, false] {
        let accept = world.source.settles.hold();
        let id = world.deliver().await;
        world.come_back(id, 1).await;
        if !unstarted {
            // Its first holder speaks late.
            world.reply(id, "completed", "done").await;
        }
        world.log.wait_for(Did::Withdraw(id)).await;
        assert_eq!(world.log.count(&Did::Removed), usize::from(!unstarted));
        accept.send(Ok(())).expect("it is awaited");
        world.all_ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_no_worker_gets_is_failed_at_max_wait_secs() {
    let world = World::forgetful(Kind::File, MAX_WAIT);
    world.submit(world.task()).await;
    world.log.wait_for(Did::Settle(Failed)).await;
    let reason = "no worker started it within 25 s";
    let expected = Outcome::failed(OwnFailure::NotStarted, reason);
    assert_eq!(*world.source.outcomes.lock(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn timeouts_that_were_learnt_are_noted_though_there_is_no_confirm_to_note() {
    let world = forgetful();
    let learnt = Timeouts {
        heartbeat: Timeout::Usually(T),
        start_to_close: Timeout::Never,
    };
    *world.source.learnt.lock() = Some(learnt);
    let id = world.submit(world.task()).await;
    world.settle_down().await;
    let notes = world.store.notes.lock().clone();
    assert_eq!(notes, [(id, Note::Learnt(learnt))]);
    assert_eq!(world.log.count(&Did::NotedConfirm), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_gets_a_task_between_max_wait_secs_and_the_failure_keeps_it() {
    let world = World::before_the_start_with(Kind::File, MAX_WAIT, Durability::Process);
    let id = world.submit(world.task()).await;
    let inflight = &world.bridge.inflight;
    let unstarted = loop {
        inflight.wait_for_due().await;
        match inflight.next_due(Instant::now()) {
            Some(task) if task.due != Due::Beat => break task,
            Some(task) => heartbeat::handle_due(Arc::clone(&world.bridge), task).await,
            None => {}
        }
    };
    world.redeliver(id, 0).await;
    heartbeat::handle_due(Arc::clone(&world.bridge), unstarted).await;
    assert_eq!(world.log.settles(), 0);
    let beats = world.log.beats().len();
    world.run_heartbeats();
    world.at(secs(36.0)).await;
    assert!(world.log.beats().len() > beats, "the bridge goes on");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_to_fail_its_task_leaves_it_to_its_timeout() {
    let world = World::forgetful(Kind::File, "dead_letters = false");
    let id = world.deliver().await;
    world.source.time_out_after(T);
    world.at(secs(100.0)).await;
    let dead = DeadLetter {
        death: Death::Rejected,
        queue: "payments".to_owned(),
    };
    world
        .send(Inbound::DeadLetter(dead, Delivery::about(id)))
        .await;
    let gone = world.log.wait_for(Did::Announce(Gone)).await;
    assert!(gone <= secs(100.0) + T + secs(ASK_AFTER) + 2 * MOMENT);
    assert_eq!(world.log.settles(), 0);
    world.all_ended().await;
}
