//! A disk that fails while the store runs.

use super::child::{Obedient, inserted};
use crate::harness::eventually;
use activity_bridge::store::file;
use std::collections::BTreeSet;

const FULL: &str = "the disk is full. Make room";

#[tokio::test]
async fn a_disk_that_was_full_costs_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let (mut child, opened) = Obedient::limited(&path, 8 << 10).await;
    assert_eq!(opened, "opened");
    let mut tasks = BTreeSet::new();
    let refused = loop {
        let answer = child.ask("insert 200").await;
        match inserted(&answer) {
            Some(id) => tasks.insert(id),
            None => break answer,
        };
        assert!(tasks.len() < 40, "200 kB each are more than 8 MB together");
    };
    assert!(tasks.len() > 10, "{}", tasks.len());
    assert!(
        refused.starts_with("refused the token store is not available"),
        "{refused}"
    );
    assert!(refused.contains(FULL), "{refused}");
    assert!(child.ask("trouble now").await.contains(FULL));
    assert!(child.ask("insert 200").await.contains(FULL), "still");

    // What ends meanwhile is not forgotten.
    let ended = tasks.pop_first().expect("some");
    assert_eq!(
        child.ask(&format!("remove {}", ended.reveal())).await,
        "removed true"
    );

    child.lift_limit().await;
    eventually("well again", async || {
        (child.ask("trouble now").await == "trouble ").then_some(())
    })
    .await;
    tasks.extend(inserted(&child.ask("insert 200").await));
    child.kill().await;
    let left: BTreeSet<_> = file::read(&path)
        .expect("read")
        .records
        .iter()
        .map(|record| record.id)
        .collect();
    // The one that was refused may have come to be there before the failure.
    assert!(left.is_superset(&tasks), "{left:?} {tasks:?}");
    assert!(left.len() <= tasks.len() + 2);
    assert!(!left.contains(&ended));
}

/// Before it was looked whether there is room again.
#[tokio::test]
async fn what_ended_while_the_disk_was_full_is_written_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let (mut child, opened) = Obedient::limited(&path, 8 << 10).await;
    assert_eq!(opened, "opened");
    let ended = inserted(&child.ask("insert 1").await).expect("there is room");
    while inserted(&child.ask("insert 200").await).is_some() {}
    let removed = format!("remove {}", ended.reveal());
    assert_eq!(child.ask(&removed).await, "removed true");
    child.lift_limit().await;
    assert_eq!(child.ask("close now").await, "closed");
    let left = file::read(&path).expect("read").records;
    assert!(left.len() > 10, "{left:?}");
    assert!(!left.iter().any(|record| record.id == ended), "{left:?}");
}
