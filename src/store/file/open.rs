//! Creates and opens the file, and explains what is wrong with it. An existing file is never replaced by an empty
//! store.

use super::ledger::{self, Ledger};
use crate::{
    store::{Contents, Record},
    util::{
        database_file::{Words, copy_in_memory},
        file_access::exposure,
    },
};
use anyhow::anyhow;
use redb::{Builder, DatabaseError, Error, ReadableDatabase, StorageError};
use std::{fs, io::ErrorKind, path::Path};
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
    // An error has shown already, where the file was opened.
    if let Ok(Some(exposed)) = exposure(path) {
        warn!("the token store holds the tokens and inputs of tasks: {exposed}");
    }
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
    let database = WORDS.open(path, CACHE)?;
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

fn create(path: &Path) -> anyhow::Result<()> {
    if WORDS.create(path, CACHE, ledger::initialize)? {
        info!(path = %path.display(), "a new token store");
    }
    Ok(())
}

/// All records, oldest first, without changing the file.
///
/// # Errors
///
/// The error says what is wrong with the file, for example that a running process has it open.
pub fn read(path: &Path) -> anyhow::Result<Contents<Record>> {
    match Builder::new().set_cache_size(CACHE).open_read_only(path) {
        Ok(database) => records(path, &database),
        // A crash left the file in need of repair. A copy in memory is repaired.
        Err(DatabaseError::RepairAborted) => {
            let copied = copy_in_memory(path, CACHE);
            records(path, &copied.map_err(|error| failed(path, &error))?)
        }
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

fn records(path: &Path, database: &impl ReadableDatabase) -> anyhow::Result<Contents<Record>> {
    instance(path, database)?;
    ledger::records(database).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &Error) -> anyhow::Error {
    WORDS.failed(path, error)
}

/// The text about what is wrong with the file, and how to repair it.
pub(crate) fn wrong(path: &Path, error: &Error) -> String {
    WORDS.wrong(path, error)
}

/// The words about the file.
const WORDS: Words = Words {
    what: "the token store",
    key: "store.path",
    missing_folder: "for the token store is not there. It is not made, because it may be a volume that is not mounted: \
                     mount it, or make the folder, or change `store.path`",
    unfinished: ".new-token-store-",
    damaged: "it is no token store, or it is damaged. Nothing was changed. Look at `store.path` and at the disk; if it is \
              lost, move it away to begin with an empty store, and AWS will time out the tasks that were in it",
    other_format: "another version of the bridge wrote it, with another version of the database. Run that one, or let it \
                   finish its tasks and then move the file away",
};

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
