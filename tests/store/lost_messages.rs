//! What every store promises of a message that a durable broker has confirmed and may lose
//! (`activity_bridge::store::Store`).

use crate::{
    harness::{
        Kind::{self, Cluster, File, Memory, Redis},
        LEARNT, Place, adopt_all, eventually, insert, insist, payments, task,
    },
    redis::server,
};
use activity_bridge::{
    broker::Durability,
    store::{FileStore, MemoryStore, Note, Store, StoreError},
    task::{Task, TaskId},
};
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};
use rstest::rstest;

type Key = (u64, u128);

const MESSAGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("messages");

pub async fn message(store: &dyn Store, id: TaskId) -> Option<Task> {
    insist(async || store.message(id).await).await
}

pub async fn confirm(store: &dyn Store, id: TaskId) {
    insist(async || store.confirmed(id, LEARNT).await).await;
}

pub async fn lose(store: &dyn Store, id: TaskId) {
    insist(async || store.messages_lost(&[id]).await).await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_the_broker_has_lost_can_be_published_again_and_again(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let store = Place::new(kind).open().await;
    let task = insert(&*store, 1).await.remove(0);
    for _ in 0..2 {
        confirm(&*store, task.id).await;
        assert!(message(&*store, task.id).await.is_none(), "confirmed");
        for _ in 0..2 {
            lose(&*store, task.id).await;
            let again = message(&*store, task.id).await.expect("lost");
            assert_eq!(again.input.text(), task.input.text());
            assert_eq!(again.headers, task.headers);
            assert_eq!(again.activity, task.activity);
            assert_eq!(again.token.reveal(), task.token.reveal());
            assert_eq!(again.polled_at, task.polled_at);
        }
    }
    insist(async || store.remove(task.id).await).await;
    lose(&*store, task.id).await;
    assert!(message(&*store, task.id).await.is_none(), "it has ended");
}

/// A person may have messages published again that the broker has not lost.
#[rstest]
#[tokio::test]
async fn the_copy_of_a_message_can_be_read_until_a_worker_has_begun_and_changes_nothing(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let store = Place::new(kind).open().await;
    let task = insert(&*store, 1).await.remove(0);
    let copy = async || insist(async || store.copy(task.id).await).await;
    for _ in 0..2 {
        let found = copy().await.expect("a copy");
        assert_eq!(found.id, task.id);
        assert_eq!(found.input.text(), task.input.text());
        confirm(&*store, task.id).await;
        assert!(message(&*store, task.id).await.is_none(), "published");
    }
    store.note(task.id, Note::Begun);
    eventually("the note", async || {
        if let Some(shared) = store.shared() {
            // It writes the notes.
            let _ = shared.renew().await;
        }
        copy().await.is_none().then_some(())
    })
    .await;
    insist(async || store.remove(task.id).await).await;
    assert!(copy().await.is_none(), "it has ended");
}

/// The process may be killed before the broker has confirmed it again.
#[rstest]
#[tokio::test]
async fn the_next_process_publishes_what_the_broker_has_lost(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let mut store = place.open().await;
    let tasks = insert(&*store, 2).await;
    for task in &tasks {
        confirm(&*store, task.id).await;
    }
    lose(&*store, tasks[0].id).await;
    for _ in 0..2 {
        store = place.reopen(store).await;
        for record in adopt_all(&*store, 10, 2).await {
            let is_lost = record.id == tasks[0].id;
            assert_eq!(record.published, !is_lost);
            assert!(record.durable && !record.begun);
            assert_eq!(record.timeouts, LEARNT, "what was learnt stays");
            assert_eq!(message(&*store, record.id).await.is_some(), is_lost);
        }
    }
    // This process may find the loss of the other one.
    lose(&*store, tasks[1].id).await;
    assert!(message(&*store, tasks[1].id).await.is_some());
}

/// The process may be killed as soon as the call has returned: nothing is closed here.
#[rstest]
#[tokio::test]
async fn the_losses_of_many_messages_are_noted_at_once_and_survive_a_kill(
    #[values(Memory, File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tasks = insert(&*store, 250).await;
    for task in &tasks {
        confirm(&*store, task.id).await;
    }
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    insist(async || store.messages_lost(&ids[1..]).await).await;
    match kind {
        Memory => {
            for id in &ids {
                let is_lost = message(&*store, *id).await.is_some();
                assert_eq!(is_lost, *id != ids[0]);
            }
        }
        File => {
            let copy = place.file().with_extension("killed");
            std::fs::copy(place.file(), &copy).expect("copied");
            let next = FileStore::open(&copy).expect("the store opens");
            for record in adopt_all(&next, 100, ids.len()).await {
                assert_eq!(record.published, record.id == ids[0]);
                assert_eq!(
                    message(&next, record.id).await.is_some(),
                    record.id != ids[0]
                );
            }
        }
        Redis | Cluster => {
            for id in &ids {
                let key = task_key(&place, *id);
                let published = server(kind).ask(&["HGET", &key, "published"]).await;
                let expected = if *id == ids[0] { "1" } else { "0" };
                assert_eq!(published, redis::Value::BulkString(expected.into()));
            }
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_task_that_a_worker_has_begun_is_not_lost_and_its_message_is_deleted(
    #[values(File, Redis, Cluster)] kind: Kind,
    #[values(true, false)] begun_before_the_confirm: bool,
) {
    let place = Place::new(kind);
    let mut store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    let begin = async |store: &dyn Store| store.note(task.id, Note::Begun);
    let confirm = async |store: &dyn Store| confirm(store, task.id).await;
    match begun_before_the_confirm {
        true => begin(&*store).await,
        false => confirm(&*store).await,
    }
    store = place.reopen(store).await;
    adopt_all(&*store, 10, 1).await;
    assert_eq!(messages(&place, kind, task.id).await, 1, "still needed");
    match begun_before_the_confirm {
        true => confirm(&*store).await,
        false => begin(&*store).await,
    }
    store = place.reopen(store).await;
    adopt_all(&*store, 10, 1).await;
    assert_eq!(messages(&place, kind, task.id).await, 0);
    lose(&*store, task.id).await;
    assert!(message(&*store, task.id).await.is_none());
}

/// The number of messages that are kept of this task, past the store.
async fn messages(place: &Place, kind: Kind, id: TaskId) -> i64 {
    if kind == File {
        // The store has the file open.
        let copy = place.file().with_extension("copy");
        std::fs::copy(place.file(), &copy).expect("copied");
        let database = redb::Database::open(&copy).expect("it opens");
        let read = database.begin_read().expect("it can be read");
        let table = read.open_table(MESSAGES).expect("the table is there");
        let count = table.len().expect("counted");
        return i64::try_from(count).expect("a few");
    }
    let key = task_key(place, id);
    match server(kind).ask(&["HEXISTS", &key, "message"]).await {
        redis::Value::Int(count) => count,
        other => panic!("{other:?}"),
    }
}

/// The key of a task's record in Redis.
fn task_key(place: &Place, id: TaskId) -> String {
    format!("{}:task:{{{}}}", place.prefix(), id.reveal())
}

#[tokio::test]
async fn in_memory_a_task_that_a_worker_has_begun_is_not_lost() {
    for begun_first in [true, false] {
        let store = MemoryStore::new(Durability::Durable);
        let task = insert(&store, 1).await.remove(0);
        if begun_first {
            store.note(task.id, Note::Begun);
            assert!(message(&store, task.id).await.is_some(), "not confirmed");
        }
        confirm(&store, task.id).await;
        if !begun_first {
            store.note(task.id, Note::Begun);
        }
        lose(&store, task.id).await;
        assert!(message(&store, task.id).await.is_none());
    }
}

/// An older version deleted the message at the confirm.
#[rstest]
#[tokio::test]
async fn a_record_of_an_older_version_is_read_as_before_and_has_no_message(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    confirm(&*store, task.id).await;
    let key = task_key(&place, task.id);
    server(kind).ask(&["HDEL", &key, "message"]).await;
    assert!(message(&*store, task.id).await.is_none());
    lose(&*store, task.id).await;
    let none = store.message(task.id).await;
    assert!(matches!(none, Err(StoreError::NoMessage)), "{none:?}");
}

#[tokio::test]
async fn a_record_of_an_older_version_in_a_file_is_read_as_before_and_has_no_message() {
    let place = Place::new(File);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    confirm(&*store, task.id).await;
    store.close().await;
    drop(store);
    {
        let database = redb::Database::open(place.file()).expect("it opens");
        let write = database.begin_write().expect("begun");
        let mut messages = write.open_table(MESSAGES).expect("the table is there");
        messages.pop_first().expect("taken").expect("the message");
        drop(messages);
        write.commit().expect("written");
    }
    let store = place.open().await;
    let record = adopt_all(&*store, 10, 1).await.remove(0);
    assert!(record.published);
    assert!(message(&*store, task.id).await.is_none());
    lose(&*store, task.id).await;
    let none = store.message(task.id).await;
    assert!(matches!(none, Err(StoreError::NoMessage)), "{none:?}");
    well_after_that(&*store).await;
}

/// A message that is not there is no failure of the file.
async fn well_after_that(store: &dyn Store) {
    assert_eq!(store.unavailable(), None);
    insert(store, 1).await;
}

#[tokio::test]
async fn in_memory_the_messages_of_all_tasks_take_16_mib_at_most() {
    const MIB: usize = 1 << 20;
    let store = MemoryStore::new(Durability::Durable);
    let mut kept = Vec::new();
    for _ in 0..40 {
        let large = Task {
            input: "x".repeat(MIB).into(),
            ..task()
        };
        insist(async || store.insert(&payments(), &large).await).await;
        confirm(&store, large.id).await;
        lose(&store, large.id).await;
        match store.message(large.id).await {
            Ok(Some(_)) => kept.push(large.id),
            Err(StoreError::NoMessage) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kept.len(), 15, "each has some bytes beside its input");
    assert_eq!(insist(async || store.count().await).await, 40);
    // The room of a task that has ended, and of one that has begun, is used again.
    insist(async || store.remove(kept[0]).await).await;
    confirm(&store, kept[1]).await;
    store.note(kept[1], Note::Begun);
    let large = || Task {
        input: "x".repeat(MIB).into(),
        ..task()
    };
    for expected in [true, true, false] {
        let task = large();
        insist(async || store.insert(&payments(), &task).await).await;
        assert_eq!(store.message(task.id).await.is_ok(), expected);
    }
}

#[tokio::test]
async fn in_memory_nothing_is_kept_for_a_broker_that_does_not_lose_messages() {
    let store = MemoryStore::new(Durability::Process);
    let task = task();
    insist(async || store.insert(&payments(), &task).await).await;
    let none = store.message(task.id).await;
    assert!(matches!(none, Err(StoreError::NoMessage)), "{none:?}");
    assert_eq!(insist(async || store.count().await).await, 1);
}
