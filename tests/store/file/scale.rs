//! How long a start takes, and how large the file is, with 100,000 tasks.

use crate::harness::{LEARNT, adopt_all, insert, insist, payments, task};
use activity_bridge::store::{FileStore, Store};
use futures_util::{FutureExt, future::join_all};
use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

const TASKS: usize = 100_000;

#[tokio::test]
async fn a_hundred_thousand_tasks_are_there_in_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let store = FileStore::open(&path).expect("made");
    let began = Instant::now();
    let inserter = async || {
        for _ in 0..TASKS / 1000 {
            let task = task();
            insist(async || store.insert(&payments(), &task).await).await;
            insist(async || store.confirmed(task.id, LEARNT).await).await;
        }
    };
    join_all((0..1000).map(|_| inserter())).await;
    println!("inserted in {:?}", began.elapsed());

    // What a kill would leave: nothing closes this copy.
    let crashed = folder.path().join("crashed.redb");
    fs::copy(&path, &crashed).expect("copied");
    let size = fs::metadata(&crashed).expect("there").len();
    let began = Instant::now();
    let store = FileStore::open(&crashed).expect("opened");
    let opened = began.elapsed();
    let adopted = adopt_all(&store, 1000, TASKS).await;
    let took = began.elapsed();
    println!(
        "{} tasks, {size} bytes: opened in {opened:?}, adopted after {took:?}",
        adopted.len()
    );
    assert_eq!(adopted.len(), TASKS);
    assert!(size < 250_000_000, "{size} bytes");
    // In a build that is not optimized, on a machine that is busy.
    assert!(took < Duration::from_secs(60), "{took:?}");

    // When they have ended, the next start makes the file small again.
    for record in &adopted[50..] {
        insist(async || store.remove(record.id).await).await;
    }
    store.close().await;
    let size = || fs::metadata(&crashed).expect("there").len();
    let before = size();
    let store = FileStore::open(&crashed).expect("opened");
    assert_eq!(adopt_all(&store, 1000, 50).await.len(), 50);
    // The database gives back the end of the file by itself, where that is free. A file of up to 64 MiB is left as it is.
    let most = match before > 64 << 20 {
        true => 10_000_000,
        false => before,
    };
    assert!(size() <= most, "{} of {before} bytes", size());
    // The newest that ended are remembered, and no more than twenty thousand.
    let ended = insist(async || store.ended(usize::MAX).await).await;
    assert_eq!(ended.len(), 20_000);
}

#[tokio::test]
async fn who_stops_waiting_loses_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let store = FileStore::open(&path).expect("made");
    insert(&store, 10).await;
    store.close().await;
    let store = FileStore::open(&path).expect("opened");
    let mut adopted = HashSet::new();
    for _ in 0..3 {
        // It is asked for, and nobody hears the answer; unless the store's thread was that quick.
        let heard = store.adopt(3).now_or_never();
        let heard = heard.into_iter().flat_map(|page| page.expect("read"));
        adopted.extend(heard.map(|record| record.id));
        insist(async || store.count().await).await;
    }
    let rest = adopt_all(&store, 3, 10 - adopted.len()).await;
    assert!(!rest.is_empty(), "each answer was heard");
    adopted.extend(rest.iter().map(|record| record.id));
    assert_eq!(adopted.len(), 10);
}
