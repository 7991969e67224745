//! What was inserted is there after the process was killed.

use super::child::{Obedient, inserted};
use crate::harness::{adopt_all, ids};
use activity_bridge::{
    store::{FileStore, file},
    task::TaskId,
};
use std::{collections::HashSet, fs};

const INSERTERS: usize = 40;

#[tokio::test]
async fn no_record_is_lost_to_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    let mut told: HashSet<TaskId> = HashSet::new();
    for kill in 1..=8 {
        let mut child = Obedient::start(&path).await;
        child.tell(&format!("flood {INSERTERS}")).await;
        for _ in 0..rand::random_range(1..400) {
            told.extend(inserted(&child.answer().await));
        }
        child.kill().await;
        while let Some(answer) = child.last_answer().await {
            told.extend(inserted(&answer));
        }

        let crashed = fs::read(&path).expect("read");
        let read: HashSet<_> = file::read(&path)
            .expect("read")
            .records
            .iter()
            .map(|record| record.id)
            .collect();
        assert!(
            fs::read(&path).expect("read") == crashed,
            "reading leaves the file as it is"
        );
        let lost = told.difference(&read).count();
        assert_eq!(lost, 0, "of {} records, after {kill} kills", told.len());
        // Each inserter may have had one that was written and not yet told.
        let more = read.difference(&told).count();
        assert!(more <= INSERTERS * kill, "{more} that nobody inserted");
    }
    let store = FileStore::open(&path).expect("opened");
    let adopted = adopt_all(&store, 1000, told.len()).await;
    let adopted_ids: HashSet<_> = ids(&adopted, |record| record.id).into_iter().collect();
    assert_eq!(adopted_ids.len(), adopted.len(), "each once");
    assert!(told.is_subset(&adopted_ids));
}
