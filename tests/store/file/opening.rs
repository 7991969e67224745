//! What can be wrong with the file when it is opened: each is told, with what to do.

use super::child::{Obedient, this};
use crate::harness::{insert, insist};
use activity_bridge::store::{FileStore, Store, file};
use redb::{Database, TableDefinition};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Barrier,
    thread,
};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    (folder, path)
}

/// What opening says, with the path taken out.
fn error(path: &Path) -> String {
    told(
        path,
        format!(
            "{:#}",
            FileStore::open(path).expect_err("it can't be opened")
        ),
    )
}

/// What reading says, likewise.
fn read_error(path: &Path) -> String {
    told(
        path,
        format!("{:#}", file::read(path).expect_err("it can't be read")),
    )
}

fn told(path: &Path, error: String) -> String {
    let path = path.display().to_string();
    assert!(error.contains(&path), "says which: {error}");
    error.replace(&path, "PATH")
}

#[tokio::test]
async fn a_new_one_is_for_its_owner_alone() {
    let (folder, path) = place();
    FileStore::open(&path).expect("made").close().await;
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds tokens");
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing else is left"
    );
}

#[tokio::test]
async fn of_many_processes_one_has_it() {
    let (folder, path) = place();
    let all = Barrier::new(8);
    let mut opened = thread::scope(|scope| {
        let open = || {
            all.wait();
            FileStore::open(&path)
        };
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let opened = opening
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        opened.collect::<Vec<_>>()
    });
    opened.retain(|result| match result {
        Ok(_) => true,
        Err(error) => {
            let error = format!("{error:#}");
            assert!(error.contains("another process has it open"), "{error}");
            false
        }
    });
    assert_eq!(opened.len(), 1);
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing else is left"
    );
    let store = opened.remove(0).expect("the one");
    insert(&store, 1).await;
}

#[tokio::test]
async fn it_is_locked_while_a_process_has_it() {
    let (_folder, path) = place();
    let mut child = Obedient::start(&path).await;
    let expected = "the token store PATH: another process has it open, and a file serves one bridge at a time. Stop that \
                    process, or change `store.path`";
    let error = error(&path);
    assert!(error.starts_with(expected), "{error}");
    let expected = "the token store PATH: a bridge has it open. Give the `admin.listen` that it was started with";
    let error = read_error(&path);
    assert!(error.starts_with(expected), "{error}");
    child.kill().await;
    FileStore::open(&path).expect("free again");
}

#[tokio::test]
async fn it_is_free_once_it_is_closed() {
    let (_folder, path) = place();
    let store = FileStore::open(&path).expect("made");
    store.close().await;
    let next = FileStore::open(&path).expect("free");
    assert!(store.unavailable().is_some(), "the closed one is of no use");
    assert!(store.count().await.is_err());
    assert_eq!(insist(async || next.count().await).await, 0);
}

#[test]
fn a_folder_that_is_missing_is_not_made() {
    let (folder, _) = place();
    let missing = folder.path().join("volume");
    let path = missing.join("tasks.redb");
    let error = format!(
        "{:#}",
        FileStore::open(&path).expect_err("there is no folder")
    );
    assert!(error.contains("is not mounted"), "{error}");
    assert!(error.contains(&missing.display().to_string()), "{error}");
    assert!(!missing.exists());
    assert!(read_error(&path).contains("it is not there"));
}

#[test]
fn a_folder_is_no_file() {
    let (folder, _) = place();
    let error = error(folder.path());
    assert!(
        error.contains("it is a folder. `store.path` names a file"),
        "{error}"
    );
}

#[test]
fn a_file_on_the_way_is_no_folder() {
    let (_folder, path) = place();
    fs::write(&path, "").expect("written");
    let error = format!(
        "{:#}",
        FileStore::open(&path.join("tasks.redb")).expect_err("no folder")
    );
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (_folder, path) = place();
    FileStore::open(&path).expect("made").close().await;
    let database = Database::open(&path).expect("a database");
    let write = database.begin_write().expect("begun");
    let meta = TableDefinition::<&str, &str>::new("meta");
    let mut table = write.open_table(meta).expect("the table");
    table.insert("schema", "2").expect("written");
    drop(table);
    write.commit().expect("committed");
    drop(database);
    for error in [error(&path), read_error(&path)] {
        assert!(error.contains("has schema version \"2\""), "{error}");
        assert!(error.contains("a newer one wrote it"), "{error}");
    }
}

#[tokio::test]
async fn a_newer_format_of_the_database_is_left_alone() {
    let (_folder, path) = place();
    FileStore::open(&path).expect("made").close().await;
    let mut content = fs::read(&path).expect("read");
    // Where redb 4 keeps the version of its format, once for each of its two commit slots.
    for slot in [64, 192] {
        assert_eq!(content[slot], 3);
        content[slot] = 4;
    }
    fs::write(&path, &content).expect("written");
    for error in [error(&path), read_error(&path)] {
        assert!(
            error.contains("another version of the bridge wrote it"),
            "{error}"
        );
    }
    assert!(fs::read(&path).expect("read") == content);
}

#[test]
fn another_program_s_database_is_left_alone() {
    let (_folder, path) = place();
    let database = Database::create(&path).expect("made");
    let write = database.begin_write().expect("begun");
    let other = TableDefinition::<&str, &str>::new("other");
    write
        .open_table(other)
        .expect("made")
        .insert("a", "b")
        .expect("written");
    write.commit().expect("committed");
    drop(database);
    for error in [error(&path), read_error(&path)] {
        assert!(
            error.contains("is no token store, or it is damaged"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told() {
    let (folder, path) = place();
    let (_child, answer) = Obedient::limited(&path, 64).await;
    assert!(answer.starts_with("failed "), "{answer}");
    assert!(answer.contains("the disk is full. Make room"), "{answer}");
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is left of it"
    );
}

/// What the process says. Where root starts it, it goes on as nobody.
async fn open_as_nobody(path: &Path) -> String {
    // Where this binary is, nobody might not come.
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("set");
    let binary = folder.path().join("store");
    // By another process: what this one has open for writing, a child of another test has too until it is started, and
    // nobody can start that.
    let copied = Command::new("cp").args([&this(), &binary]).status();
    assert!(copied.expect("cp is there").success());
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let me = fs::metadata("/proc/self").expect("this process").uid();
    let prefix = if me == 0 { &nobody[..] } else { &[] };
    Obedient::start_by(prefix, &binary, path).await.1
}

#[tokio::test]
async fn a_file_of_somebody_else_is_told() {
    let (folder, path) = place();
    FileStore::open(&path).expect("made").close().await;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("set");
    fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("set");
    let answer = open_as_nobody(&path).await;
    assert!(
        answer.contains("the bridge may not read and write it"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_told() {
    let (folder, path) = place();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).expect("set");
    let answer = open_as_nobody(&path).await;
    assert!(
        answer.contains("the bridge may not read and write it"),
        "{answer}"
    );
    assert!(!path.exists());
}
