//! Records in the file that this version can't read: damaged ones, and those of a newer version. Each is left alone, and holds up no
//! other.

use crate::{
    harness::{LEARNT, adopt_all, ids, insert, insist},
    log,
};
use activity_bridge::{
    store::{FileStore, Note, Store, StoreError, file},
    task::TaskId,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::{collections::BTreeMap, path::Path};

type Key = (u64, u128);

const RECORDS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("records");
const MESSAGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("messages");

/// Writes past the store.
fn write(path: &Path, table: TableDefinition<'_, Key, &[u8]>, changes: &[(TaskId, &[u8])]) {
    let database = Database::open(path).expect("it opens");
    let write = database.begin_write().expect("begun");
    {
        let mut table = write.open_table(table).expect("the table");
        for (id, bytes) in changes {
            let rows = table.iter().expect("rows");
            let keys = rows.map(|row| row.expect("a row").0.value());
            let keys: Vec<_> = keys.filter(|key| key.1 == u128::from(*id)).collect();
            assert_eq!(keys.len(), 1, "one row of each");
            table.insert(keys[0], *bytes).expect("written");
        }
    }
    write.commit().expect("committed");
}

/// All records as they are in the file.
fn rows(path: &Path) -> BTreeMap<u128, Vec<u8>> {
    let database = Database::open(path).expect("it opens");
    let read = database.begin_read().expect("begun");
    let table = read.open_table(RECORDS).expect("the table");
    let rows = table.iter().expect("rows").map(|row| {
        let (key, value) = row.expect("a row");
        (key.value().1, value.value().to_vec())
    });
    rows.collect()
}

#[tokio::test]
async fn a_record_that_can_not_be_read_is_left_alone_and_holds_up_no_other() {
    const BAD: [&[u8]; 4] = [
        br#"{"schema":2,"new":[1]}"#,
        b"\xff",
        b"{}",
        br#"{"schema":"x","route":"payments","token":"t","polled_at":1}"#,
    ];
    log::keep();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let store = FileStore::open(&path).expect("made");
    let tasks = insert(&store, 7).await;
    store.close().await;
    drop(store);
    let (bad, good) = (
        ids(&tasks[1..5], |task| task.id),
        [0, 5, 6].map(|index| &tasks[index]),
    );
    let changes: Vec<_> = bad.iter().copied().zip(BAD).collect();
    write(&path, RECORDS, &changes);

    for _ in 0..2 {
        let store = FileStore::open(&path).expect("it opens");
        // Pages shorter than the run of bad ones.
        let adopted = adopt_all(&store, 1, 3).await;
        assert_eq!(ids(&adopted, |record| record.id), ids(good, |task| task.id));
        assert_eq!(store.unreadable(), 4);
        assert_eq!(store.unavailable(), None);
        // Nothing else stops, whatever is asked of them.
        for id in &bad {
            store.note(*id, Note::Begun);
            insist(async || store.confirmed(*id, LEARNT).await).await;
            let message = store.message(*id).await;
            assert!(
                matches!(message, Err(StoreError::Unreadable(_))),
                "{message:?}"
            );
            assert!(
                insist(async || store.kept_outcome(*id).await)
                    .await
                    .is_none()
            );
        }
        let new = insert(&store, 1).await.remove(0);
        insist(async || store.remove(new.id).await).await;
        assert_eq!(
            insist(async || store.count().await).await,
            7,
            "they are kept"
        );
        store.close().await;
        drop(store);
        let rows = rows(&path);
        for (id, bytes) in &changes {
            assert_eq!(rows[&u128::from(*id)], *bytes, "untouched");
        }
    }
    let found = file::read(&path).expect("read");
    assert_eq!((found.records.len(), found.unreadable), (3, 4));
    for (id, newer) in bad.iter().zip([true, false, false, false]) {
        let named = log::lines(&format!("the record of task {id}"));
        assert_eq!(named.len(), 2, "once by each process: {named:?}");
        assert_eq!(named[0].contains("a newer version"), newer, "{named:?}");
        assert!(!named[0].contains(&id.reveal()), "an id is a capability");
    }
}

#[tokio::test]
async fn a_message_that_can_not_be_read_is_known_not_to_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let store = FileStore::open(&path).expect("made");
    let task = insert(&store, 1).await.remove(0);
    store.close().await;
    drop(store);
    write(&path, MESSAGES, &[(task.id, b"\xff")]);
    let store = FileStore::open(&path).expect("it opens");
    adopt_all(&store, 10, 1).await;
    let message = store.message(task.id).await;
    assert!(
        matches!(message, Err(StoreError::Unreadable(_))),
        "{message:?}"
    );
    assert_eq!(store.unavailable(), None);
    insert(&store, 1).await;
}
