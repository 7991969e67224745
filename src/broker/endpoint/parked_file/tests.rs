use super::*;
use crate::broker::endpoint::parked_record::tests::message;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use redb::StorageBackend;
use std::{
    fmt,
    io::{self, Read},
    mem,
    os::unix::fs::symlink,
    sync::Arc,
};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.parked");
    (folder, path)
}

fn open(path: &Path) -> (ParkedFile, Found) {
    ParkedFile::open(path).expect("it can be used")
}

/// Writes messages with these bodies from this position on.
fn write(file: &ParkedFile, first: Position, bodies: &[&str]) {
    let messages: Vec<_> = bodies
        .iter()
        .map(|body| message("completed", body.as_bytes()))
        .collect();
    let written = file.write((first..).zip(&messages), [].into_iter());
    written.expect("written");
}

/// What is in the file: positions and bodies.
fn bodies(found: &Found) -> Vec<(Position, String)> {
    let messages = found.messages.iter();
    messages
        .map(|(position, message)| {
            let body = String::from_utf8(message.body.to_vec());
            (*position, body.expect("UTF-8"))
        })
        .collect()
}

fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.expect("it can be read");
    bytes
}

fn error(path: &Path) -> String {
    let error = ParkedFile::open(path).expect_err("it can't be used");
    let error = format!("{error:#}");
    assert!(error.contains("file of parked replies"), "{error}");
    assert!(error.contains(&path.display().to_string()), "{error}");
    error
}

#[test]
fn messages_are_found_in_order_until_they_are_deleted() {
    let (_folder, path) = place();
    let (file, found) = open(&path);
    assert_eq!((bodies(&found), found.next), (vec![], 0));
    write(&file, 0, &["a", "b", "c"]);
    file.write([].into_iter(), [1, 7].into_iter())
        .expect("written");
    drop(file);
    let (_, found) = open(&path);
    assert_eq!(bodies(&found), [(0, "a".into()), (2, "c".into())]);
    assert_eq!(found.next, 3);
}

#[test]
fn a_record_that_cannot_be_read_is_skipped_and_stays_and_no_other_is_lost() {
    let (_folder, path) = place();
    let (file, _) = open(&path);
    write(&file, 0, &["a"]);
    let write_raw = file.database.begin_write().expect("a transaction");
    {
        let mut table = write_raw.open_table(PARKED).expect("the table");
        table.insert(1, &b"torn"[..]).expect("inserted");
        table.insert(2, &b""[..]).expect("inserted");
    }
    write_raw.commit().expect("written");
    write(&file, 3, &["b"]);
    drop(file);
    for _ in 0..2 {
        let (_, found) = open(&path);
        assert_eq!(bodies(&found), [(0, "a".into()), (3, "b".into())]);
        assert_eq!(found.unreadable, [4, 0]);
        assert_eq!(found.next, 4);
    }
}

#[test]
fn only_its_owner_may_read_and_write_the_file() {
    let (_folder, path) = place();
    let mode = || {
        let data = fs::metadata(&path).expect("it is there");
        data.permissions().mode() & 0o777
    };
    drop(open(&path));
    assert_eq!(mode(), 0o600);
    for (loose, tight) in [(0o666, 0o600), (0o660, 0o600), (0o644, 0o600)] {
        fs::set_permissions(&path, Permissions::from_mode(loose)).expect("ours");
        drop(open(&path));
        assert_eq!(mode(), tight, "{loose:o}");
    }
}

#[test]
fn what_is_no_such_file_is_refused_and_left_as_it_is() {
    let (folder, path) = place();
    for content in [&b""[..], b"a text", &[0; 3_000_000]] {
        fs::write(&path, content).expect("written");
        let error = error(&path);
        assert!(error.contains("it is no file of parked replies"), "{error}");
        assert_eq!(bytes_of(&path), content);
        assert!(examine(&path).is_err());
    }
    fs::remove_file(&path).expect("removed");
    let other = TableDefinition::<u64, &[u8]>::new("records");
    let database = Database::create(&path).expect("made");
    let write = database.begin_write().expect("a transaction");
    write.open_table(other).expect("a table");
    write.commit().expect("written");
    drop(database);
    let told = error(&path);
    assert!(told.contains("it is no file of parked replies"), "{told}");
    assert!(examine(&path).is_err());
    let told = error(folder.path());
    assert!(told.contains("`amqp.parked_path` names a file"), "{told}");
    let null = folder.path().join("null");
    symlink("/dev/null", &null).expect("linked");
    let told = error(&null);
    assert!(told.contains("it is no file of parked replies"), "{told}");
}

#[test]
fn a_file_of_a_newer_version_or_without_a_folder_or_of_another_process_is_refused() {
    let (_folder, path) = place();
    let (file, _) = open(&path);
    let told = error(&path);
    assert!(told.contains("another process has it open"), "{told}");
    let write = file.database.begin_write().expect("a transaction");
    write
        .open_table(META)
        .expect("the table")
        .insert("schema", "2")
        .expect("inserted");
    write.commit().expect("written");
    drop(file);
    let told = error(&path);
    assert!(told.contains("a newer version of the bridge"), "{told}");
    let nowhere = path.with_file_name("none").join("file");
    let told = ParkedFile::open(&nowhere).expect_err("no folder");
    let told = told.to_string();
    assert!(
        told.contains("for the file of parked replies is not there"),
        "{told}"
    );
}

#[test]
fn a_file_that_has_failed_is_opened_again_only_if_it_is_the_same() {
    let (folder, path) = place();
    let (file, _) = open(&path);
    let id = file.instance().to_owned();
    write(&file, 0, &["a"]);
    drop(file);
    assert!(ParkedFile::open_again(&path, &id).is_ok());
    let away = folder.path().join("away");
    fs::rename(&path, &away).expect("moved");
    let told = ParkedFile::open_again(&path, &id).expect_err("it is away");
    assert!(told.contains("Was a volume unmounted"), "{told}");
    drop(open(&path));
    let told = ParkedFile::open_again(&path, &id).expect_err("another one");
    assert!(told.contains("another file is in its place"), "{told}");
}

#[test]
fn a_check_says_what_is_there_and_changes_nothing() {
    let (folder, path) = place();
    let listing = || fs::read_dir(folder.path()).expect("a folder").count();
    assert!(matches!(examine(&path), Ok(Examined::NotYet)));
    assert_eq!(listing(), 0);
    let nowhere = folder.path().join("none/file");
    assert!(matches!(examine(&nowhere), Ok(Examined::NoFolder(_))));
    let (file, _) = open(&path);
    write(&file, 0, &["a", "b"]);
    assert!(matches!(examine(&path), Ok(Examined::Open)));
    // As after a kill.
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).expect("copied");
    drop(file);
    for path in [&path, &copy] {
        let before = bytes_of(path);
        assert!(matches!(examine(path), Ok(Examined::There(2))));
        assert_eq!(bytes_of(path), before);
    }
}

/// A file on a disk whose flushes fail. It says that it is at this path and has this id.
pub(in crate::broker::endpoint) fn on_a_failing_disk(path: &Path, instance: &str) -> ParkedFile {
    let disk = Disk::default();
    let database = Builder::new().create_with_backend(disk.clone());
    let database = database.expect("made");
    initialize(&database).expect("initialized");
    disk.0.lock().fails = true;
    ParkedFile {
        path: path.to_owned(),
        instance: instance.to_owned(),
        database,
    }
}

/// A disk that loses power: what was not flushed is there in part.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Sectors>>);

#[derive(Default)]
struct Sectors {
    now: Vec<u8>,
    flushed: Vec<u8>,
    unflushed: Vec<(usize, Vec<u8>)>,
    /// What is on the disk if the power goes during each flush.
    torn: Vec<Vec<u8>>,
    random: Option<StdRng>,
    /// Whether flushes fail.
    fails: bool,
}

/// What a disk writes as a whole.
const SECTOR: usize = 512;

impl Sectors {
    fn tear(&mut self) {
        let Some(random) = &mut self.random else {
            return;
        };
        let mut torn = self.flushed.clone();
        torn.resize(self.now.len(), 0);
        for (offset, data) in &self.unflushed {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                if random.random_bool(0.5) {
                    let at = offset + index * SECTOR;
                    torn[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        self.torn.push(torn);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).expect("small");
        out.copy_from_slice(&self.0.lock().now[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sectors = self.0.lock();
        sectors.now.resize(usize::try_from(len).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sectors = self.0.lock();
        if sectors.fails {
            return Err(io::Error::other("the test wants it"));
        }
        sectors.tear();
        sectors.flushed = sectors.now.clone();
        sectors.unflushed.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut sectors = self.0.lock();
        let from = usize::try_from(offset).expect("small");
        sectors.now[from..from + data.len()].copy_from_slice(data);
        sectors.unflushed.push((from, data.to_vec()));
        Ok(())
    }
}

/// The power goes during each flush of each write, and half of the sectors of that write are on the disk.
#[test]
fn a_write_that_is_torn_loses_no_earlier_message_and_refuses_no_start() {
    let (folder, path) = place();
    let disk = Disk::default();
    let database = Builder::new().create_with_backend(disk.clone());
    let database = database.expect("made");
    initialize(&database).expect("initialized");
    let instance = instance(&path, &database).expect("an id");
    let file = ParkedFile {
        path: path.clone(),
        instance,
        database,
    };
    disk.0.lock().random = Some(StdRng::seed_from_u64(20));
    let (mut written, mut opened) = (Vec::new(), 0);
    for position in 0..12 {
        let body = position.to_string().repeat(3_000);
        write(&file, position, &[&body]);
        let torn = mem::take(&mut disk.0.lock().torn);
        assert!(!torn.is_empty(), "it was flushed");
        for (index, content) in torn.into_iter().enumerate() {
            let copy = folder.path().join(format!("{position}-{index}"));
            fs::write(&copy, content).expect("written");
            let (again, found) = open(&copy);
            let mut bodies = bodies(&found);
            // The last message may be there.
            bodies.truncate(written.len());
            assert_eq!(bodies, written);
            assert!(found.unreadable.is_empty());
            write(&again, 100, &["after"]);
            opened += 1;
        }
        written.push((position, body));
    }
    assert!(opened >= 12, "{opened}");
}
