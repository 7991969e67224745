//! A file that is damaged is refused and left as it is, or nothing of it is lost.

use crate::harness::{adopt_all, ids, insert};
use activity_bridge::{
    store::{FileStore, Store, file},
    task::TaskId,
};
use rstest::rstest;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A file with so many records, closed in order; and their ids.
async fn filled(folder: &TempDir, records: usize) -> (PathBuf, Vec<TaskId>) {
    let path = folder.path().join("tasks.redb");
    let store = FileStore::open(&path).expect("made");
    let tasks = insert(&store, records).await;
    store.close().await;
    (path, ids(&tasks, |task| task.id))
}

/// What opening it says. It and reading it leave the file as it is.
fn refused(path: &Path) -> String {
    let before = fs::read(path).expect("read");
    let error = FileStore::open(path).expect_err("it is damaged");
    assert!(
        fs::read(path).expect("read") == before,
        "changed though it says: {error:#}"
    );
    file::read(path).expect_err("it is damaged");
    assert!(
        fs::read(path).expect("read") == before,
        "reading changed it"
    );
    format!("{error:#}")
}

#[rstest]
#[case::empty(b"")]
#[case::text(b"[store]\nkind = \"file\"\n")]
#[case::half_a_magic_number(b"redb")]
#[case::nothing_but_a_magic_number(b"redb\x1A\x0A\xA9\x0D\x0A")]
#[tokio::test]
async fn what_is_no_database_is_refused(
    #[case] content: &[u8],
    #[values(0, 3_000_000)] zeros: usize,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    fs::write(&path, [content, &vec![0; zeros]].concat()).expect("written");
    let error = refused(&path);
    assert!(
        error.contains("is no token store, or it is damaged"),
        "{error}"
    );
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = filled(&folder, 2_000).await;
    let whole = fs::read(&path).expect("read");
    for parts in [0, 1, 10, 50, 90, 99] {
        fs::write(&path, &whole[..whole.len() * parts / 100]).expect("written");
        let error = refused(&path);
        assert!(
            error.contains("is no token store, or it is damaged"),
            "{parts} %: {error}"
        );
    }
}

/// Every page has a checksum. A page that is in no use may be anything.
#[tokio::test]
async fn a_page_that_was_overwritten_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, tasks) = filled(&folder, 300).await;
    let whole = fs::read(&path).expect("read");
    let mut refusals = 0;
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        for byte in &mut damaged[page * 4096 + 100..][..16] {
            *byte ^= 0x55;
        }
        fs::write(&path, &damaged).expect("written");
        match FileStore::open(&path) {
            Err(error) => {
                let error = format!("{error:#}");
                assert!(error.contains("it is damaged"), "page {page}: {error}");
                refusals += 1;
            }
            Ok(store) => {
                let adopted = adopt_all(&store, 1000, tasks.len()).await;
                assert_eq!(ids(&adopted, |record| record.id), tasks, "page {page}");
                store.close().await;
            }
        }
    }
    assert!(refusals > 50, "{refusals} of {} pages", whole.len() / 4096);
}
