//! Creates and opens the file, and explains what is wrong with it. An existing file is never replaced by an empty
//! store.

use super::ledger::{self, Ledger};
use crate::store::Record;
use anyhow::anyhow;
use redb::{
    Builder, Database, DatabaseError, Error, ReadableDatabase, StorageBackend, StorageError,
    backends::{FileBackend, InMemoryBackend},
};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::Path,
};
use tracing::{info, warn};

/// Size of the cache, in bytes. Most pages that a group touches were touched by the group before.
const CACHE: usize = 8 << 20;

/// Minimum size, in bytes, from which a mostly empty file is compacted when it is opened.
const WORTH_COMPACTING: u64 = 64 << 20;

/// Opens the file, or creates it.
pub(crate) fn open(path: &Path) -> anyhow::Result<Ledger> {
    match fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(failed(path, &error.into())),
    }
    let mut ledger = open_existing(path)?;
    let size = || fs::metadata(path).map_or(0, |data| data.len());
    let before = size();
    if before > WORTH_COMPACTING && before / 4 > ledger.bytes {
        match ledger.compact() {
            Ok(()) => {
                info!(path = %path.display(), before, after = size(), "token store made smaller");
            }
            // The file can be used without that. After the failure it must be opened again.
            Err(error) => {
                warn!(%error, path = %path.display(), "could not make the token store smaller");
                drop(ledger);
                ledger = open_existing(path)?;
            }
        }
    }
    info!(path = %path.display(), records = ledger.len(), "token store opened");
    Ok(ledger)
}

/// Opens the file again after a failure, if it is still the file of this store and can be written again.
pub(crate) fn again(path: &Path, instance: &str) -> Result<Ledger, String> {
    let ledger = open_existing(path).map_err(|error| error.to_string())?;
    if ledger.instance != instance {
        return Err(format!("{}: another store is in its place", path.display()));
    }
    ledger.probe().map_err(|error| wrong(path, &error))?;
    Ok(ledger)
}

/// Opens an existing file. It repairs what a crash left, and checks every page.
fn open_existing(path: &Path) -> anyhow::Result<Ledger> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true);
    let database = builder
        .open(path)
        .map_err(|error| failed(path, &error.into()))?;
    let instance = instance(path, &database)?;
    Ledger::load(database, instance).map_err(|error| failed(path, &error))
}

fn instance(path: &Path, database: &impl ReadableDatabase) -> anyhow::Result<String> {
    let found = ledger::instance(database).map_err(|error| failed(path, &error))?;
    found.map_err(|schema| {
        anyhow!(
            "the token store {} has schema version {schema:?}, which this version of the bridge does not know: a newer one \
             wrote it. Run that one, or let it finish its tasks and then move the file away",
            path.display()
        )
    })
}

/// Creates the whole file under another name in the same folder, and moves it into its place only if no other file has
/// appeared there meanwhile.
fn create(path: &Path) -> anyhow::Result<()> {
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(anyhow!(
            "the folder {} for the token store is not there. It is not made, because it may be a volume that is not \
             mounted: mount it, or make the folder, or change `store.path`",
            folder.display()
        ));
    }
    // Only its owner can read the file, because it holds tokens.
    let file = tempfile::Builder::new()
        .prefix(".new-token-store-")
        .tempfile_in(folder)
        .map_err(|error| failed(path, &error.into()))?;
    let made = || -> Result<(), Error> {
        let backend = FileBackend::new(file.reopen()?)?;
        let database = Builder::new()
            .set_cache_size(CACHE)
            .create_with_backend(backend)?;
        ledger::initialize(&database)?;
        Ok(database.close()?)
    };
    made().map_err(|error| failed(path, &error))?;
    match file.persist_noclobber(path) {
        Ok(_) => info!(path = %path.display(), "a new token store"),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, &error.error.into())),
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(path, &error.into()))
}

/// The folder that the file is in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// All records, oldest first, without changing the file.
///
/// # Errors
///
/// The error says what is wrong with the file, for example that a running process has it open.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    match Builder::new().set_cache_size(CACHE).open_read_only(path) {
        Ok(database) => records(path, &database),
        // A crash left the file in need of repair. A copy in memory is repaired.
        Err(DatabaseError::RepairAborted) => records(path, &in_memory(path)?),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(anyhow!(
            "the token store {}: a bridge has it open. Give the `admin.listen` that it was started with",
            path.display()
        )),
        Err(DatabaseError::Storage(StorageError::Io(error)))
            if error.kind() == ErrorKind::PermissionDenied =>
        {
            let path = path.display();
            Err(anyhow!(
                "the token store {path}: this user may not read it. Run the command as the bridge's user"
            ))
        }
        Err(error) => Err(failed(path, &error.into())),
    }
}

fn records(path: &Path, database: &impl ReadableDatabase) -> anyhow::Result<Vec<Record>> {
    instance(path, database)?;
    ledger::records(database).map_err(|error| failed(path, &error))
}

fn in_memory(path: &Path) -> anyhow::Result<Database> {
    let copied = || -> Result<Database, Error> {
        let mut file = File::open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let memory = InMemoryBackend::new();
        memory.set_len(content.len() as u64)?;
        memory.write(0, &content)?;
        Ok(Builder::new()
            .set_cache_size(CACHE)
            .create_with_backend(memory)?)
    };
    copied().map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &Error) -> anyhow::Error {
    anyhow!("the token store {}", wrong(path, error))
}

/// The text about what is wrong with the file, and how to repair it.
pub(crate) fn wrong(path: &Path, error: &Error) -> String {
    let path = path.display();
    let what = match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
            "another process has it open, and a file serves one bridge at a time. Stop that process, or change `store.path`"
        }
        Error::UpgradeRequired(_) => OTHER_FORMAT,
        // redb uses this error for a file format that is newer than its own.
        Error::Corrupted(what) if what.contains("file format version") => OTHER_FORMAT,
        Error::Io(error) => match error.kind() {
            ErrorKind::NotFound => "it is not there. Was a volume unmounted, or the file removed?",
            ErrorKind::PermissionDenied => {
                "the bridge may not read and write it. Change the owner or the permissions"
            }
            ErrorKind::ReadOnlyFilesystem => "it is on a file system that is mounted read-only",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                "the disk is full. Make room"
            }
            ErrorKind::NotADirectory => "a part of its path is no folder",
            ErrorKind::IsADirectory => "it is a folder. `store.path` names a file",
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => DAMAGED,
            _ => "its disk fails",
        },
        Error::Corrupted(_)
        | Error::RepairAborted
        | Error::TableDoesNotExist(_)
        | Error::TableTypeMismatch { .. }
        | Error::TypeDefinitionChanged { .. }
        | Error::TableIsMultimap(_) => DAMAGED,
        _ => "it can't be used",
    };
    format!("{path}: {what} ({error})")
}

const DAMAGED: &str = "it is no token store, or it is damaged. Nothing was changed. Look at `store.path` and at the \
     disk; if it is lost, move it away to begin with an empty store, and AWS will time out the tasks that were in it";

const OTHER_FORMAT: &str = "another version of the bridge wrote it, with another version of the database. Run that one, or let \
     it finish its tasks and then move the file away";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// The errors that the integration tests can't cause on every machine.
    #[test]
    fn an_error_of_the_disk_is_explained_with_its_repair() {
        for (kind, told) in [
            (ErrorKind::ReadOnlyFilesystem, "mounted read-only"),
            (ErrorKind::StorageFull, "the disk is full. Make room"),
            (ErrorKind::QuotaExceeded, "the disk is full. Make room"),
            (ErrorKind::Other, "its disk fails"),
        ] {
            let error = Error::Io(io::Error::new(kind, "the cause"));
            let error = wrong(Path::new("/volume/tasks.redb"), &error);
            assert!(error.starts_with("/volume/tasks.redb: "), "{error}");
            assert!(
                error.contains(told) && error.contains("the cause"),
                "{error}"
            );
        }
    }
}
