//! How many flushes of the disk the tasks share.

use crate::harness::{LEARNT, eventually, in_time, insert, insist, task};
use activity_bridge::store::{FileStore, Note, Record, Store, file};
use futures_util::future::join_all;
use std::{
    fs,
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn new() -> (TempDir, FileStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(&folder.path().join("tasks.redb")).expect("made");
    (folder, store)
}

/// What a crash at this moment would leave; `None` where something was written while it was copied.
fn as_crashed(folder: &TempDir) -> Option<Vec<Record>> {
    let crashed = folder.path().join("crashed.redb");
    fs::copy(folder.path().join("tasks.redb"), &crashed).expect("copied");
    file::read(&crashed).ok()
}

#[tokio::test]
async fn a_lone_insert_takes_one_flush() {
    let (_folder, store) = new();
    for inserts in 1..=5 {
        insert(&store, 1).await;
        assert_eq!(store.flushes(), inserts);
    }
}

/// Who did not wait for a slow disk to the end asks again.
#[tokio::test]
async fn an_insert_that_is_asked_for_again_takes_no_flush() {
    let (_folder, store) = new();
    let task = task();
    for _ in 0..2 {
        insist(async || store.insert("payments", &task).await).await;
        assert_eq!(store.flushes(), 1);
    }
    assert_eq!(insist(async || store.count().await).await, 1);
}

#[tokio::test]
async fn what_nobody_waits_for_shares_one_flush() {
    in_time(async || {
        let (_folder, store) = new();
        let task = insert(&store, 1).await.remove(0);
        let began = Instant::now();
        insist(async || store.confirmed(task.id, LEARNT).await).await;
        store.note(task.id, Note::Begun);
        insist(async || store.remove(task.id).await).await;
        // From here on the first may have been written alone.
        if began.elapsed() >= Duration::from_millis(100) {
            return None;
        }
        // It is written, though nothing else is.
        eventually("written", async || (store.flushes() > 1).then_some(())).await;
        assert_eq!(store.flushes(), 2);
        // What changes nothing is not.
        insist(async || store.remove(task.id).await).await;
        insert(&store, 1).await;
        assert_eq!(store.flushes(), 3);
        Some(())
    })
    .await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_soon() {
    let (folder, store) = new();
    let task = insert(&store, 1).await.remove(0);
    insist(async || store.confirmed(task.id, LEARNT).await).await;
    store.note(task.id, Note::Begun);
    eventually("written", async || {
        let record = as_crashed(&folder)?.remove(0);
        (record.published && record.begun).then_some(())
    })
    .await;
}

/// More at once than may wait for the writer. It is said of a task once, and not again.
#[tokio::test]
async fn that_a_worker_has_begun_is_noted_however_much_there_is_to_do() {
    let (folder, store) = new();
    let tasks = insert(&store, 5_000).await;
    for task in &tasks {
        store.note(task.id, Note::Begun);
    }
    eventually("all are noted", async || {
        let records = as_crashed(&folder)?;
        records.iter().all(|record| record.begun).then_some(())
    })
    .await;
}

/// Lives of tasks, so many at any time, each from its insert to its removal.
async fn lives(store: &FileStore, at_once: usize, each: usize) {
    let live = async || {
        for _ in 0..each {
            let task = task();
            insist(async || store.insert("payments", &task).await).await;
            insist(async || store.confirmed(task.id, LEARNT).await).await;
            store.note(task.id, Note::Begun);
            insist(async || store.remove(task.id).await).await;
        }
    };
    join_all((0..at_once).map(|_| live())).await;
}

#[tokio::test]
async fn under_load_a_hundred_tasks_take_a_few_flushes() {
    // Where those that insert stood still, a group does not wait for all of them.
    in_time(async || {
        let (_folder, store) = new();
        lives(&store, 200, 20).await;
        let flushes = store.flushes();
        println!("{flushes} flushes for 4,000 tasks");
        (flushes <= 4 * 40).then_some(())
    })
    .await;
}
