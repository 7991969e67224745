//! What every store promises (`activity_bridge::store::Store`). What is remembered is asked for as the next process would:
//! of the stores that outlive the process. A store of this process alone promises the next one nothing, which has a test of
//! its own.

use crate::harness::{
    Kind::{self, Cluster, File, Memory, Redis},
    LEARNT, POLLED, Place, adopt_all, ids, insert, insist, payments, remembered, task, well,
};
use activity_bridge::{
    store::{Lifetime, Note, Record, Store},
    task::{Outcome, OwnFailure, Task, TaskId, Timeouts},
};
use futures_util::future::join_all;
use rstest::rstest;
use std::time::SystemTime;

/// The one record there is.
async fn the_record(store: &dyn Store) -> Record {
    let mut all = adopt_all(store, 10, 1).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn assert_same(record: &Record, task: &Task) {
    assert_eq!(record.id, task.id);
    assert_eq!(record.route, "payments");
    assert_eq!(record.token.reveal(), task.token.reveal());
    assert_eq!(*record.activity, *task.activity);
    assert_eq!(record.polled_at, task.polled_at);
}

#[rstest]
#[tokio::test]
async fn a_new_store_is_empty_and_well(#[values(Memory, File, Redis, Cluster)] kind: Kind) {
    let store = Place::new(kind).open().await;
    assert_eq!(insist(async || store.count().await).await, 0);
    assert!(adopt_all(&*store, 10, 0).await.is_empty());
    assert!(insist(async || store.ended(10).await).await.is_empty());
    well(&*store).await;
}

#[rstest]
#[tokio::test]
async fn what_is_recorded_counts_until_it_is_removed(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let store = Place::new(kind).open().await;
    let tasks = insert(&*store, 3).await;
    assert_eq!(insist(async || store.count().await).await, 3);
    insist(async || store.remove(tasks[1].id).await).await;
    assert_eq!(insist(async || store.count().await).await, 2);
}

#[rstest]
#[tokio::test]
async fn a_call_may_be_repeated(#[values(Memory, File, Redis, Cluster)] kind: Kind) {
    let store = Place::new(kind).open().await;
    repeat_calls(&*store).await;
}

/// One task has begun after that, and another one has ended.
async fn repeat_calls(store: &dyn Store) -> [Task; 2] {
    let (kept, ended) = (task(), task());
    for _ in 0..2 {
        insist(async || store.insert(&payments(), &kept).await).await;
        insist(async || store.insert(&payments(), &ended).await).await;
    }
    assert_eq!(insist(async || store.count().await).await, 2);
    for _ in 0..2 {
        insist(async || store.confirmed(kept.id, LEARNT).await).await;
        store.note(kept.id, Note::Begun);
        insist(async || store.remove(ended.id).await).await;
    }
    assert_eq!(insist(async || store.count().await).await, 1);
    [kept, ended]
}

#[rstest]
#[tokio::test]
async fn what_repeated_calls_did_is_remembered_as_if_they_came_once(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let [kept, ended] = repeat_calls(&*store).await;
    let store = place.reopen(store).await;
    let record = the_record(&*store).await;
    assert_same(&record, &kept);
    assert!(record.published && record.begun);
    assert_eq!(remembered(&*store, &[kept.id, ended.id]).await, [ended.id]);
}

/// The table of flights has all that this process needs of them.
#[tokio::test]
async fn a_store_of_this_process_alone_leaves_nothing_for_the_next() {
    let place = Place::new(Memory);
    let store = place.open().await;
    let [kept, ended] = repeat_calls(&*store).await;
    for task in [&kept, &ended] {
        assert!(
            insist(async || store.message(task.id).await)
                .await
                .is_none()
        );
    }
    assert!(insist(async || store.ended(10).await).await.is_empty());
    let store = place.reopen(store).await;
    assert_eq!(insist(async || store.count().await).await, 0);
    assert!(adopt_all(&*store, 10, 0).await.is_empty());
    assert!(insist(async || store.ended(10).await).await.is_empty());
}

/// A repeated insert comes from a caller that did not hear of the first one's success: nothing may have happened since.
#[rstest]
#[tokio::test]
async fn a_second_insert_leaves_the_record_plain_acks(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = task();
    insist(async || store.insert(&payments(), &task).await).await;
    insist(async || store.confirmed(task.id, LEARNT).await).await;
    insist(async || store.insert(&payments(), &task).await).await;
    let store = place.reopen(store).await;
    let record = the_record(&*store).await;
    assert!(record.published);
    assert_eq!(record.timeouts, LEARNT);
}

#[rstest]
#[tokio::test]
async fn what_is_asked_about_a_task_that_is_not_there_changes_nothing(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let nobody = TaskId::random();
    insist(async || store.confirmed(nobody, LEARNT).await).await;
    store.note(nobody, Note::Begun);
    store.note(nobody, Note::Heard(SystemTime::now()));
    store.note(nobody, Note::CancelRequested);
    store.note(nobody, Note::Learnt(LEARNT));
    store.note(nobody, Note::FailedDeliveries(1));
    store.note(nobody, Note::Released);
    insist(async || store.remove(nobody).await).await;
    assert!(insist(async || store.message(nobody).await).await.is_none());
    assert_eq!(insist(async || store.count().await).await, 0);

    let store = place.reopen(store).await;
    assert_eq!(insist(async || store.count().await).await, 0);
    assert!(adopt_all(&*store, 10, 0).await.is_empty());
    assert!(remembered(&*store, &[nobody]).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_process_does_not_adopt_its_own_tasks(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let store = Place::new(kind).open().await;
    insert(&*store, 3).await;
    assert!(adopt_all(&*store, 10, 0).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_process_that_adopts_tasks_leaves_out_its_own(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let left = insert(&*store, 3).await;
    let store = place.reopen(store).await;
    insert(&*store, 3).await;
    let adopted = adopt_all(&*store, 10, 3).await;
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&left, |task| task.id)
    );
}

#[rstest]
#[tokio::test]
async fn the_next_process_adopts_each_task_once(
    #[values(File, Redis, Cluster)] kind: Kind,
    #[values(1, 7, 25, 1000)] most: usize,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tasks = insert(&*store, 25).await;
    let tasks = ids(&tasks, |task| task.id);
    let mut store = place.reopen(store).await;
    // And the one after it again.
    for _ in 0..2 {
        assert_eq!(insist(async || store.count().await).await, 25);
        let adopted = adopt_all(&*store, most, 25).await;
        assert_eq!(ids(&adopted, |record| record.id), tasks);
        assert!(adopt_all(&*store, most, 0).await.is_empty(), "each once");
        store = place.reopen(store).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_record_comes_back_as_it_was(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    let mut store = place.reopen(store).await;
    let steps: [(&str, bool, bool); 3] = [
        ("new", false, false),
        ("begun", false, true),
        ("published", true, true),
    ];
    for (step, published, begun) in steps {
        let record = the_record(&*store).await;
        assert_same(&record, &task);
        assert_eq!(
            (record.published, record.begun),
            (published, begun),
            "{step}"
        );
        assert_eq!(
            record.timeouts,
            if published { LEARNT } else { POLLED },
            "{step}"
        );
        // A sign of life may come before the confirm.
        match step {
            "new" => store.note(task.id, Note::Begun),
            _ => insist(async || store.confirmed(task.id, LEARNT).await).await,
        }
        store = place.reopen(store).await;
    }
}

#[rstest]
#[tokio::test]
async fn adopted_tasks_are_like_its_own(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tasks = insert(&*store, 2).await;
    let store = place.reopen(store).await;
    adopt_all(&*store, 10, 2).await;
    insist(async || store.confirmed(tasks[0].id, LEARNT).await).await;
    store.note(tasks[0].id, Note::Begun);
    insist(async || store.remove(tasks[1].id).await).await;

    let store = place.reopen(store).await;
    let record = the_record(&*store).await;
    assert_same(&record, &tasks[0]);
    assert!(record.published && record.begun);
}

#[rstest]
#[tokio::test]
async fn what_has_ended_is_not_adopted(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tasks = insert(&*store, 3).await;
    insist(async || store.remove(tasks[0].id).await).await;
    let store = place.reopen(store).await;
    // This one ends before anybody has adopted it.
    insist(async || store.remove(tasks[1].id).await).await;
    let adopted = adopt_all(&*store, 1, 1).await;
    assert_eq!(ids(&adopted, |record| record.id), [tasks[2].id]);
}

#[rstest]
#[tokio::test]
async fn the_tasks_that_ended_last_are_remembered(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let mut store = place.open().await;
    let tasks = insert(&*store, 12).await;
    for task in &tasks {
        insist(async || store.remove(task.id).await).await;
    }
    let tasks = ids(&tasks, |task| task.id);
    for opened in 0..3 {
        let ended = remembered(&*store, &tasks).await;
        assert_eq!(ended, tasks, "opened again {opened} times");
        // A store that is shared is asked for each instead.
        let some = insist(async || store.ended(5).await).await;
        assert_eq!(some.len(), if kind == File { 5 } else { 0 });
        store = place.reopen(store).await;
    }
}

#[rstest]
#[tokio::test]
async fn many_at_once(#[values(Memory, File, Redis, Cluster)] kind: Kind) {
    live_many_at_once(&*Place::new(kind).open().await).await;
}

/// Of 500 tasks every second one has begun, and every fourth one has ended.
async fn live_many_at_once(store: &dyn Store) -> Vec<Task> {
    let tasks: Vec<_> = std::iter::repeat_with(task).take(500).collect();
    let lives = tasks.iter().enumerate().map(async |(index, task)| {
        insist(async || store.insert(&payments(), task).await).await;
        if index % 2 == 0 {
            insist(async || store.confirmed(task.id, LEARNT).await).await;
            store.note(task.id, Note::Begun);
        }
        if index % 4 == 0 {
            insist(async || store.remove(task.id).await).await;
        }
    });
    join_all(lives).await;
    assert_eq!(insist(async || store.count().await).await, 375);
    tasks
}

#[rstest]
#[tokio::test]
async fn what_many_at_once_did_is_remembered(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tasks = live_many_at_once(&*store).await;
    let store = place.reopen(store).await;
    let adopted = adopt_all(&*store, 100, 375).await;
    assert_eq!(adopted.len(), 375);
    for record in adopted {
        let index = tasks.iter().position(|task| task.id == record.id);
        let index = index.expect("one of ours");
        assert_ne!(index % 4, 0);
        assert_same(&record, &tasks[index]);
        assert_eq!(record.published, index % 2 == 0);
        assert_eq!(record.begun, index % 2 == 0);
    }
}

#[rstest]
#[tokio::test]
async fn the_id_of_a_store_lives_as_long_as_its_records(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let lifetime = store.lifetime();
    assert_eq!(lifetime == Lifetime::Process, !kind.lasts());
    assert!(!store.owner().is_empty());
    let store = place.reopen(store).await;
    assert_eq!(store.lifetime(), lifetime);
    let other = Place::new(kind).open().await.lifetime();
    assert_eq!(other == lifetime, !kind.lasts(), "each store has its own");
}

/// What only a broker that keeps no messages causes.
#[rstest]
#[tokio::test]
async fn what_became_of_deliveries_comes_back(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    let steps: [(&[Note], Timeouts, u32, bool, bool); 4] = [
        (&[Note::Learnt(LEARNT)], LEARNT, 0, false, true),
        (&[Note::FailedDeliveries(1)], LEARNT, 1, false, false),
        // The last one counts.
        (
            &[
                Note::FailedDeliveries(3),
                Note::Begun,
                Note::FailedDeliveries(2),
            ],
            LEARNT,
            2,
            true,
            false,
        ),
        (&[Note::Learnt(POLLED)], POLLED, 2, true, false),
    ];
    let mut store = store;
    for (notes, timeouts, failed, begun, durable) in steps {
        for note in notes {
            store.note(task.id, *note);
        }
        store = place.reopen(store).await;
        let record = the_record(&*store).await;
        assert_same(&record, &task);
        let found = (record.timeouts, record.failed_deliveries, record.begun);
        assert_eq!(found, (timeouts, failed, begun), "{notes:?}");
        assert_eq!((record.published, record.durable), (false, durable));
        let message = insist(async || store.message(task.id).await).await;
        assert!(message.is_some(), "{notes:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_released_task_has_begun_and_its_message_is_gone(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    store.note(task.id, Note::Released);
    let mut store = place.reopen(store).await;
    for _ in 0..2 {
        let record = the_record(&*store).await;
        assert_same(&record, &task);
        assert!(record.published && record.begun && !record.durable);
        let message = insist(async || store.message(task.id).await).await;
        assert!(message.is_none());
        store = place.reopen(store).await;
    }
}

/// Its operator has gone over to a broker that keeps its messages.
#[rstest]
#[tokio::test]
async fn a_confirm_makes_a_record_one_of_a_durable_broker(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    store.note(task.id, Note::FailedDeliveries(1));
    let store = place.reopen(store).await;
    assert!(!the_record(&*store).await.durable);
    insist(async || store.confirmed(task.id, LEARNT).await).await;
    let store = place.reopen(store).await;
    let record = the_record(&*store).await;
    assert!(record.durable && record.published);
    assert_eq!(record.timeouts, LEARNT);
}

#[rstest]
#[tokio::test]
async fn a_kept_outcome_comes_back_in_place_of_the_message(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    let outcomes = [
        Outcome::failed(OwnFailure::DeadLetter, "rejected"),
        Outcome::Completed {
            result: "€ \"\\\u{0}".repeat(50_000),
        },
    ];
    let mut store = store;
    for outcome in outcomes {
        assert_eq!(store.kept_outcome(TaskId::random()).await.ok(), Some(None));
        insist(async || store.keep_outcome(task.id, &outcome).await).await;
        let at_once = insist(async || store.kept_outcome(task.id).await).await;
        assert_eq!(at_once.as_ref(), Some(&outcome));
        store = place.reopen(store).await;
        let record = the_record(&*store).await;
        assert_same(&record, &task);
        assert!(record.has_outcome && record.published && !record.durable);
        let kept = insist(async || store.kept_outcome(task.id).await).await;
        assert_eq!(kept, Some(outcome));
        let message = insist(async || store.message(task.id).await).await;
        assert!(message.is_none());
    }
    // A note that was written late must not take it away.
    store.note(task.id, Note::Released);
    store = place.reopen(store).await;
    assert!(the_record(&*store).await.has_outcome);
    let kept = insist(async || store.kept_outcome(task.id).await).await;
    assert!(kept.is_some());
    insist(async || store.remove(task.id).await).await;
    assert_eq!(store.kept_outcome(task.id).await.ok(), Some(None));
    let store = place.reopen(store).await;
    assert!(adopt_all(&*store, 10, 0).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_task_without_a_record_or_an_outcome_has_none(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let store = Place::new(kind).open().await;
    let task = insert(&*store, 1).await.remove(0);
    let nobody = TaskId::random();
    let canceled = Outcome::Canceled {
        details: String::new(),
    };
    insist(async || store.keep_outcome(nobody, &canceled).await).await;
    for id in [task.id, nobody] {
        let kept = insist(async || store.kept_outcome(id).await).await;
        assert_eq!(kept, None);
    }
    assert_eq!(insist(async || store.count().await).await, 1);
}
