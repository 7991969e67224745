//! Timeouts that AWS does not tell before the task is published.

use super::{
    log::Did,
    store::Kind,
    world::{MOMENT, World, secs},
};
use activity_bridge::{
    intake::recovery,
    source::Discovered,
    store::Note,
    task::{Task, TaskId, Timeout, Timeouts},
};
use std::time::Duration;

/// The heartbeat interval where no timeout is known.
const USUAL_INTERVAL: Duration = Duration::from_secs(20);

/// A timeout for which the usual interval is too long.
const LEARNT: Timeouts = Timeouts {
    heartbeat: Timeout::Usually(Duration::from_secs(9)),
    start_to_close: Timeout::After(Duration::from_secs(600)),
};

/// A world whose source does not tell any timeout, to this many questions.
fn silent(kind: Kind, questions: usize) -> World {
    let world = World::with(kind, "");
    for _ in 0..questions {
        let unknown = Discovered::incomplete(Timeouts::default());
        world.source.discoveries.then(unknown);
    }
    *world.source.learnt.lock() = Some(LEARNT);
    world
}

fn unknown(world: &World) -> Task {
    Task {
        timeouts: Timeouts::default(),
        ..world.task()
    }
}

async fn dispatch(world: &World) -> TaskId {
    let id = world.submit(unknown(world)).await;
    world.log.wait_for(Did::NotedConfirm).await;
    id
}

fn asked(world: &World) -> Vec<Duration> {
    world.log.times(|did| *did == Did::AskForTimeouts)
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_timeouts_are_unknown_asks_again_and_its_heartbeats_follow_what_was_learnt() {
    let world = silent(Kind::File, 5);
    let id = dispatch(&world).await;
    assert!(world.log.now() <= MOMENT, "it is published meanwhile");
    world.at(secs(1_000.0)).await;
    let asked = asked(&world);
    assert_eq!(
        asked.len(),
        6,
        "until it is known, and not again: {asked:?}"
    );
    // The back-off and its jitter.
    for (pair, step) in asked.windows(2).zip([5.0, 10.0, 20.0, 40.0, 80.0]) {
        let wait = pair[1] - pair[0];
        assert!(
            wait >= secs(step / 2.0) - MOMENT && wait <= secs(step) + MOMENT,
            "{wait:?}"
        );
    }
    let known = asked[5];
    let beats = world.log.beats();
    let (before, after): (Vec<_>, Vec<_>) = beats.iter().partition(|at| **at < known);
    let gaps = |beats: &[Duration]| beats.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let slow: Vec<Duration> = gaps(&before);
    assert!(
        slow.iter().all(|gap| *gap >= USUAL_INTERVAL / 2),
        "{slow:?}"
    );
    assert!(
        after[0] - known <= secs(3.0),
        "{:?} after {known:?}",
        after[0]
    );
    let fast: Vec<Duration> = gaps(&after);
    assert!(
        fast.iter().all(|gap| *gap <= secs(3.0) + MOMENT),
        "{fast:?}"
    );
    let notes = world.store.notes.lock().clone();
    assert!(notes.contains(&(id, Note::Learnt(LEARNT))), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_of_a_worker_is_sent_in_time_for_a_timeout_that_was_learnt_late() {
    let world = silent(Kind::Memory, 1);
    let id = dispatch(&world).await;
    world.reply(id, "started", "first").await;
    world.log.wait_for(Did::Beat("first".to_owned())).await;
    world.reply(id, "heartbeat", "second").await;
    let second = world.log.wait_for(Did::Beat("second".to_owned())).await;
    let known = asked(&world)[1];
    let first = world.log.beats()[0];
    // An interval of the timeout that was learnt.
    let due = known.max(first + secs(3.0));
    assert!(second <= due + MOMENT, "{second:?}, known at {known:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_a_task_that_has_ended() {
    let world = silent(Kind::Memory, 100);
    let id = dispatch(&world).await;
    world.at(secs(20.0)).await;
    world.reply(id, "completed", "").await;
    world.all_ended().await;
    let count = asked(&world).len();
    assert!(count > 1);
    world.at(secs(3_000.0)).await;
    assert_eq!(asked(&world).len(), count);
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_during_a_long_publication_is_not_overwritten_by_the_confirm() {
    let world = silent(Kind::File, 1);
    world.broker.block();
    let id = world.submit(unknown(&world)).await;
    world.at(secs(10.0)).await;
    assert_eq!(asked(&world).len(), 2);
    world.broker.unblock();
    world.log.wait_for(Did::NotedConfirm).await;
    let confirmed = world.store.confirmed.lock().clone();
    assert_eq!(confirmed, [(id, LEARNT)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_stays_known_when_a_later_question_fails() {
    let world = World::with(Kind::File, "");
    // The defaults of the type are known, and the history is not. Then nothing is.
    let partly = Timeouts {
        start_to_close: Timeout::Unknown,
        ..LEARNT
    };
    for found in [partly, Timeouts::default(), Timeouts::default()] {
        let found = Discovered::incomplete(found);
        world.source.discoveries.then(found);
    }
    *world.source.learnt.lock() = Some(LEARNT);
    let id = dispatch(&world).await;
    let known = || world.bridge.inflight.timeouts(id);
    assert_eq!(known(), Some(partly));
    let mut questions = 0;
    while questions < 4 {
        tokio::time::sleep(secs(0.1)).await;
        questions = asked(&world).len();
        let expected = if questions < 4 { partly } else { LEARNT };
        assert_eq!(known(), Some(expected), "after {questions}");
    }
    let learnt = world.store.notes.lock().clone();
    assert_eq!(learnt, [(id, Note::Learnt(LEARNT))], "and nothing before");
}

/// The record of an earlier process has them.
#[tokio::test(start_paused = true)]
async fn what_a_record_knows_stays_known_when_aws_does_not_tell_it_again() {
    let world = silent(Kind::File, 1_000);
    let task = Task {
        timeouts: LEARNT,
        ..world.task()
    };
    let id = task.id;
    let orphan = world.record(&task, false);
    world.store.orphans.lock().push_back(orphan);
    world.store.messages.lock().insert(id, task);
    let unpublished = recovery::restore_all(&world.bridge).await;
    recovery::republish(&world.bridge, unpublished).await;
    world.at(secs(100.0)).await;
    assert!(asked(&world).len() > 2);
    assert_eq!(world.bridge.inflight.timeouts(id), Some(LEARNT));
}
