//! How many flushes of the disk the tasks cost. What makes a group is tested beside the writer.

use crate::harness::{LEARNT, eventually, insert, insist, payments, task};
use activity_bridge::store::{FileStore, Note, Record, Store, file};
use std::fs;
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
    file::read(&crashed).ok().map(|found| found.records)
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
        insist(async || store.insert(&payments(), &task).await).await;
        assert_eq!(store.flushes(), 1);
    }
    assert_eq!(insist(async || store.count().await).await, 1);
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
