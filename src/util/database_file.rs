//! An embedded database in one file: creates it, opens it, and explains what is wrong with it. An existing file is never
//! replaced by an empty one, and a folder is never created, because it may be the mount point of a missing volume.

use anyhow::anyhow;
use redb::{
    Builder, Database, Error, StorageBackend,
    backends::{FileBackend, InMemoryBackend},
};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

/// The words of one kind of file, for the texts about it.
#[derive(Debug)]
pub struct Words {
    /// What the file is, such as "the token store".
    pub what: &'static str,
    /// The setting that names the file.
    pub key: &'static str,
    /// What is said of a folder that is not there, after its name.
    pub missing_folder: &'static str,
    /// The name of the file while it is not complete.
    pub unfinished: &'static str,
    /// What is said of a file that is something else, or is damaged.
    pub damaged: &'static str,
    /// What is said of a file with another format of the database.
    pub other_format: &'static str,
}

impl Words {
    /// Opens an existing file. This repairs what a crash left, and checks every page.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file. The file is unchanged then.
    pub fn open(&self, path: &Path, cache: usize) -> anyhow::Result<Database> {
        let mut builder = Builder::new();
        builder
            .set_cache_size(cache)
            .set_check_integrity_on_open(true);
        let database = builder.open(path);
        database.map_err(|error| self.failed(path, &error.into()))
    }

    /// Creates the whole file under another name in the same folder, and moves it into its place only if no other file has
    /// appeared there meanwhile. Only its owner can read and write it. True if it is in its place.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the folder or the disk.
    pub fn create(
        &self,
        path: &Path,
        cache: usize,
        initialize: impl FnOnce(&Database) -> Result<(), Error>,
    ) -> anyhow::Result<bool> {
        let folder = folder(path);
        if !folder.is_dir() {
            let missing = self.missing_folder;
            return Err(anyhow!("the folder {} {missing}", folder.display()));
        }
        let file = tempfile::Builder::new()
            .prefix(self.unfinished)
            .tempfile_in(folder)
            .map_err(|error| self.failed(path, &error.into()))?;
        let made = || -> Result<(), Error> {
            let backend = FileBackend::new(file.reopen()?)?;
            let database = Builder::new()
                .set_cache_size(cache)
                .create_with_backend(backend)?;
            initialize(&database)?;
            Ok(database.close()?)
        };
        made().map_err(|error| self.failed(path, &error))?;
        let is_new = match file.persist_noclobber(path) {
            Ok(_) => true,
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(self.failed(path, &error.error.into())),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| self.failed(path, &error.into()))?;
        Ok(is_new)
    }

    /// The error about a file that can't be used.
    #[must_use]
    pub fn failed(&self, path: &Path, error: &Error) -> anyhow::Error {
        anyhow!("{} {}", self.what, self.wrong(path, error))
    }

    /// The text about what is wrong with the file, and how to repair it.
    #[must_use]
    pub fn wrong(&self, path: &Path, error: &Error) -> String {
        let (path, key) = (path.display(), self.key);
        let what = match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => &format!(
                "another process has it open, and a file serves one bridge at a time. Stop that process, or change `{key}`"
            ),
            Error::UpgradeRequired(_) => self.other_format,
            // redb uses this error for a file format that is newer than its own.
            Error::Corrupted(what) if what.contains("file format version") => self.other_format,
            Error::Io(error) => match error.kind() {
                ErrorKind::NotFound => {
                    "it is not there. Was a volume unmounted, or the file removed?"
                }
                ErrorKind::PermissionDenied => {
                    "the bridge may not read and write it. Change the owner or the permissions"
                }
                ErrorKind::ReadOnlyFilesystem => "it is on a file system that is mounted read-only",
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    "the disk is full. Make room"
                }
                ErrorKind::NotADirectory => "a part of its path is no folder",
                ErrorKind::IsADirectory => &format!("it is a folder. `{key}` names a file"),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => self.damaged,
                _ => "its disk fails",
            },
            Error::Corrupted(_)
            | Error::RepairAborted
            | Error::TableDoesNotExist(_)
            | Error::TableTypeMismatch { .. }
            | Error::TypeDefinitionChanged { .. }
            | Error::TableIsMultimap(_) => self.damaged,
            _ => "it can't be used",
        };
        format!("{path}: {what} ({error})")
    }
}

/// A copy of the file in memory, repaired there. The file stays as it is.
///
/// # Errors
///
/// The file can't be read, or is no database.
pub fn copy_in_memory(path: &Path, cache: usize) -> Result<Database, Error> {
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let memory = InMemoryBackend::new();
    memory.set_len(content.len() as u64)?;
    memory.write(0, &content)?;
    Ok(Builder::new()
        .set_cache_size(cache)
        .create_with_backend(memory)?)
}

/// The folder that the file is in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
