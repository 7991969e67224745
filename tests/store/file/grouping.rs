//! How many flushes of the disk the tasks share.

use crate::harness::{LEARNT, eventually, insert, task};
use activity_bridge::store::{FileStore, Note, Store, file};
use futures_util::future::join_all;
use std::{fs, path::Path};
use tempfile::TempDir;

fn new() -> (TempDir, FileStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(&folder.path().join("tasks.redb")).expect("made");
    (folder, store)
}

#[tokio::test]
async fn a_lone_insert_takes_one_flush() {
    let (_folder, store) = new();
    for inserts in 1..=5 {
        insert(&store, 1).await;
        assert_eq!(store.flushes(), inserts);
    }
}

#[tokio::test]
async fn what_nobody_waits_for_shares_one_flush() {
    let (_folder, store) = new();
    let task = insert(&store, 1).await.remove(0);
    store.confirmed(task.id, LEARNT).await.expect("confirmed");
    store.note(task.id, Note::Begun);
    store.remove(task.id).await.expect("removed");
    // It is written, though nothing else is.
    eventually("written", async || (store.flushes() > 1).then_some(())).await;
    assert_eq!(store.flushes(), 2);
    // What changes nothing is not.
    store.remove(task.id).await.expect("removed");
    insert(&store, 1).await;
    assert_eq!(store.flushes(), 3);
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_soon() {
    let (folder, store) = new();
    let task = insert(&store, 1).await.remove(0);
    store.confirmed(task.id, LEARNT).await.expect("confirmed");
    store.note(task.id, Note::Begun);
    // What a crash at this moment would leave.
    let crashed = folder.path().join("crashed.redb");
    let as_crashed = |path: &Path| {
        fs::copy(path, &crashed).expect("copied");
        file::read(&crashed).expect("read").remove(0)
    };
    let path = folder.path().join("tasks.redb");
    eventually("written", async || {
        let record = as_crashed(&path);
        (record.published && record.begun).then_some(())
    })
    .await;
}

/// Lives of tasks, so many at any time, each from its insert to its removal.
async fn lives(store: &FileStore, at_once: usize, each: usize) {
    let live = async || {
        for _ in 0..each {
            let task = task();
            store.insert("payments", &task).await.expect("inserted");
            store.confirmed(task.id, LEARNT).await.expect("confirmed");
            store.note(task.id, Note::Begun);
            store.remove(task.id).await.expect("removed");
        }
    };
    join_all((0..at_once).map(|_| live())).await;
}

#[tokio::test]
async fn under_load_a_hundred_tasks_take_a_few_flushes() {
    let (_folder, store) = new();
    lives(&store, 200, 20).await;
    let flushes = store.flushes();
    assert!(flushes <= 4 * 40, "{flushes} for 4,000 tasks");
}
