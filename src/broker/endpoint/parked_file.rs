//! The file of the parked replies: an embedded database with one record for each message. A transaction is there as a whole
//! or not at all, so a crash in the middle of a write loses no other message.

use super::{message::Message, parked_record, queue::Position};
use crate::{
    task::TaskId,
    util::{
        database_file::{Words, copy_in_memory, folder},
        file_access::exposure,
    },
};
use anyhow::anyhow;
use redb::{
    Builder, Database, DatabaseError, Error, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition,
};
use std::{
    fs::{self, File, Permissions},
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tracing::{info, warn};

/// The messages, by their positions in the queue.
const PARKED: TableDefinition<'_, Position, &[u8]> = TableDefinition::new("parked");

/// The version of the schema, and the id of the file.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("parked-meta");

/// The version of the schema.
const SCHEMA: &str = "1";

/// Size of the cache, in bytes.
const CACHE: usize = 1 << 20;

/// The mode of the file: only its owner reads and writes it. Replies hold data of the workflows.
const MODE: u32 = 0o600;

const WORDS: Words = Words {
    what: "the file of parked replies",
    key: "amqp.parked_path",
    missing_folder: "for the file of parked replies is not there. It is not made, because it may be a volume that is not \
                     mounted: mount it, or make the folder, or change `amqp.parked_path`",
    unfinished: ".new-parked-replies-",
    damaged: "it is no file of parked replies, or it is damaged. Nothing was changed. Look at `amqp.parked_path` and at the \
              disk; if it is lost, move it away to begin with an empty one",
    other_format: "another version of the bridge wrote it, with another version of the database. Run that one, or move the \
                   file away",
};

/// The open file.
#[derive(Debug)]
pub(super) struct ParkedFile {
    path: PathBuf,
    instance: String,
    database: Database,
}

/// What is in the file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The messages that can be read, in order.
    pub(super) messages: Vec<(Position, Message)>,
    /// The sizes of the records that can't be read. They stay in the file.
    pub(super) unreadable: Vec<usize>,
    /// The position of the next message.
    pub(super) next: Position,
}

/// What a check finds at the path, without changing anything there.
#[derive(Debug)]
pub(crate) enum Examined {
    /// The file is there, with so many messages.
    There(u64),
    /// A running bridge has it open.
    Open,
    /// There is no file yet. The bridge makes it.
    NotYet,
    /// There is no folder for it.
    NoFolder(String),
}

impl ParkedFile {
    /// Opens the file, or creates it, and reads all messages. A record that can't be read is skipped.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, Found)> {
        match fs::metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if WORDS.create(path, CACHE, initialize)? {
                    info!(path = %path.display(), "a new file of parked replies");
                }
            }
            Err(error) => return Err(WORDS.failed(path, &error.into())),
        }
        let file = Self::open_existing(path)?;
        restrict(path)?;
        if let Ok(Some(exposed)) = exposure(path) {
            warn!("parked replies hold the data of tasks: {exposed}");
        }
        let found = file.read().map_err(|error| WORDS.failed(path, &error))?;
        let (parked, skipped) = (found.messages.len(), found.unreadable.len());
        info!(path = %path.display(), parked, skipped, "file of parked replies opened");
        Ok((file, found))
    }

    fn open_existing(path: &Path) -> anyhow::Result<Self> {
        // A database can't be in anything else, and to open a pipe would wait.
        let data = fs::metadata(path).map_err(|error| WORDS.failed(path, &error.into()))?;
        if !data.is_file() {
            let kind = match data.is_dir() {
                true => ErrorKind::IsADirectory,
                false => ErrorKind::InvalidData,
            };
            return Err(WORDS.failed(path, &std::io::Error::from(kind).into()));
        }
        let database = WORDS.open(path, CACHE)?;
        let instance = instance(path, &database)?;
        Ok(Self {
            path: path.to_owned(),
            instance,
            database,
        })
    }

    /// Opens the file again after a failure, if it is still the same file.
    pub(super) fn open_again(path: &Path, instance: &str) -> Result<Self, String> {
        let file = Self::open_existing(path).map_err(|error| error.to_string())?;
        match file.instance == instance {
            true => Ok(file),
            false => Err(format!(
                "{} {}: another file is in its place",
                WORDS.what,
                path.display()
            )),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    fn read(&self) -> Result<Found, Error> {
        let mut found = Found::default();
        let parked = self.database.begin_read()?.open_table(PARKED)?;
        for row in parked.iter()? {
            let (position, record) = row?;
            let (position, record) = (position.value(), record.value());
            found.next = position + 1;
            match parked_record::decode(record) {
                Ok(message) => found.messages.push((position, message)),
                Err(error) => {
                    let path = self.path.display();
                    warn!(%path, position, error, "a parked reply can't be read; it is skipped, and stays in the file");
                    found.unreadable.push(record.len());
                }
            }
        }
        Ok(found)
    }

    /// Writes messages and deletes others, in one transaction. After an error the file must be opened again.
    pub(super) fn write<'a>(
        &self,
        inserts: impl Iterator<Item = (Position, &'a Message)>,
        removals: impl Iterator<Item = Position>,
    ) -> Result<(), Error> {
        let write = self.database.begin_write()?;
        {
            let mut parked = write.open_table(PARKED)?;
            for (position, message) in inserts {
                parked.insert(position, &*parked_record::encode(message))?;
            }
            for position in removals {
                parked.remove(position)?;
            }
        }
        Ok(write.commit()?)
    }

    /// What is wrong, by this error of a write.
    pub(super) fn wrong(&self, error: &Error) -> String {
        WORDS.failed(&self.path, error).to_string()
    }
}

/// Looks at a path, and changes nothing there.
pub(crate) fn examine(path: &Path) -> anyhow::Result<Examined> {
    let failed = |error: &Error| WORDS.failed(path, error);
    match File::options().read(true).write(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return examine_folder(path),
        Err(error) => return Err(failed(&error.into())),
    }
    let opened = Builder::new().set_cache_size(CACHE).open_read_only(path);
    let count = match opened {
        Ok(database) => {
            instance(path, &database)?;
            count(&database)
        }
        Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Examined::Open),
        // A crash left the file in need of repair. A copy in memory is repaired.
        Err(DatabaseError::RepairAborted) => {
            let copied = copy_in_memory(path, CACHE).map_err(|error| failed(&error))?;
            instance(path, &copied)?;
            count(&copied)
        }
        Err(error) => return Err(failed(&error.into())),
    };
    Ok(Examined::There(count.map_err(|error| failed(&error))?))
}

fn examine_folder(path: &Path) -> anyhow::Result<Examined> {
    let folder = folder(path);
    if !folder.is_dir() {
        let missing = WORDS.missing_folder;
        return Ok(Examined::NoFolder(format!(
            "the folder {} {missing}",
            folder.display()
        )));
    }
    // A file without a name, which is gone when it is closed.
    let made = tempfile::tempfile_in(folder);
    made.map_err(|error| WORDS.failed(path, &error.into()))?;
    Ok(Examined::NotYet)
}

fn initialize(database: &Database) -> Result<(), Error> {
    let write = database.begin_write()?;
    write.open_table(PARKED)?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert("schema", SCHEMA)?;
        meta.insert("instance", &*TaskId::random().reveal())?;
    }
    Ok(write.commit()?)
}

/// The id of the file.
fn instance(path: &Path, database: &impl ReadableDatabase) -> anyhow::Result<String> {
    let read = || -> Result<_, Error> {
        let meta = database.begin_read()?.open_table(META)?;
        let text = |key| -> Result<_, Error> {
            let found = meta.get(key)?;
            Ok(found.map_or_else(String::new, |text| text.value().to_owned()))
        };
        Ok((text("schema")?, text("instance")?))
    };
    let (schema, instance) = read().map_err(|error| WORDS.failed(path, &error))?;
    match schema == SCHEMA {
        true => Ok(instance),
        false => Err(anyhow!(
            "{} {} has schema version {schema:?}: a newer version of the bridge wrote it. Run that one, or move the file away",
            WORDS.what,
            path.display()
        )),
    }
}

fn count(database: &impl ReadableDatabase) -> Result<u64, Error> {
    Ok(database.begin_read()?.open_table(PARKED)?.len()?)
}

/// Takes the file from all other users. A volume of Kubernetes with an `fsGroup` gives it to a group at each mount.
fn restrict(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    let restricted = match mode {
        Ok(mode) if mode & !MODE == 0 => Ok(()),
        Ok(_) => fs::set_permissions(path, Permissions::from_mode(MODE)),
        Err(error) => Err(error),
    };
    restricted.map_err(|error| {
        anyhow!(
            "{} {}: other users may read or write it, and the bridge can't change that ({error}). Change its owner, or its \
             mode to 600",
            WORDS.what,
            path.display()
        )
    })
}

#[cfg(test)]
pub(super) mod tests;
