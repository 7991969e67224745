//! The tables of the file, and one transaction on them. The ledger does not decide when a transaction is written.
//!
//! Each task has a number, in the order of insertion. The number is the first part of the task's key, so tasks of the
//! same age share pages of the file, and a group touches few pages. The map from id to number is kept in memory.

use super::change::{Change, Changes, Insert};
use crate::{
    store::{
        Record,
        codec::{self, StoredRecord, Unreadable},
        outcome,
    },
    task::{Outcome, Task, TaskId},
};
use redb::{
    Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use std::{collections::HashMap, ops::Range};

/// A task's number and id.
type Key = (u64, u128);

const RECORDS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("records");

/// The messages that are still needed. The outcome of a task that AWS has not taken is in its message's place.
const MESSAGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("messages");

/// The ids of the tasks that ended last, in the order of their ends.
const ENDED: TableDefinition<'_, u64, u128> = TableDefinition::new("ended");

/// The version of the schema, and the id of the store.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// Maximum number of ended tasks whose ids are kept.
const MOST_ENDED: u64 = 20_000;

/// Number of bytes that are written to check that the disk has room.
const PROBE: usize = 512 << 10;

/// The version of the schema: of these tables and of the records' format in `codec`. New fields in the JSON need no new
/// version.
const SCHEMA: &str = "1";

/// The open database, and what is kept in memory about it.
pub(crate) struct Ledger {
    /// The id of the store.
    pub(crate) instance: String,
    /// The size of all records and messages when the file was opened, in bytes.
    pub(crate) bytes: u64,
    database: Database,
    numbers: HashMap<TaskId, u64>,
    next: u64,
    next_ended: u64,
}

/// Writes the tables and the id of a new store.
pub(crate) fn initialize(database: &Database) -> Result<(), Error> {
    let write = database.begin_write()?;
    write.open_table(RECORDS)?;
    write.open_table(MESSAGES)?;
    write.open_table(ENDED)?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert("schema", SCHEMA)?;
        meta.insert("instance", &*TaskId::random().reveal())?;
    }
    Ok(write.commit()?)
}

/// The id of the store, or the schema version if it is an unknown one.
pub(crate) fn instance(database: &impl ReadableDatabase) -> Result<Result<String, String>, Error> {
    let meta = database.begin_read()?.open_table(META)?;
    let schema = meta.get("schema")?;
    let schema = schema.as_ref().map_or("none", |schema| schema.value());
    if schema != SCHEMA {
        return Ok(Err(schema.to_owned()));
    }
    let instance = meta.get("instance")?;
    let missing = || Error::Corrupted("the store has no id".to_owned());
    Ok(Ok(instance.ok_or_else(missing)?.value().to_owned()))
}

/// All records, in the order in which they were inserted.
pub(crate) fn records(database: &impl ReadableDatabase) -> Result<Vec<Record>, Error> {
    let records = database.begin_read()?.open_table(RECORDS)?;
    let rows = records.iter()?.map(|row| {
        let (key, stored) = row?;
        let id = key.value().1.into();
        readable(
            id,
            StoredRecord::read(stored.value()).and_then(|stored| stored.with(id)),
        )
    });
    rows.collect()
}

/// Turns an unreadable record into an error. The database has checked the checksum, so the record is not damaged: it
/// was written in another form. The task must not be skipped.
fn readable<T>(id: TaskId, result: Result<T, Unreadable>) -> Result<T, Error> {
    result.map_err(|error| Error::Corrupted(format!("the record of task {id}: {error}")))
}

impl Ledger {
    /// Reads the keys of all tasks from the file.
    pub(crate) fn load(database: Database, instance: String) -> Result<Self, Error> {
        let read = database.begin_read()?;
        let mut bytes = 0;
        let mut numbers = HashMap::new();
        let mut next = 0;
        for row in read.open_table(RECORDS)?.iter()? {
            let (key, record) = row?;
            let (number, id) = key.value();
            numbers.insert(id.into(), number);
            next = number + 1;
            bytes += record.value().len() as u64;
        }
        for row in read.open_table(MESSAGES)?.iter()? {
            bytes += row?.1.value().len() as u64;
        }
        let ended = read.open_table(ENDED)?;
        let last_ended = ended.last()?;
        Ok(Self {
            instance,
            bytes,
            numbers,
            next,
            next_ended: last_ended.map_or(0, |(number, _)| number.value() + 1),
            database,
        })
    }

    /// Writes as much as a group may need, and deletes it again. This shows whether a disk that was full has room
    /// again.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        let write = self.database.begin_write()?;
        write
            .open_table(META)?
            .insert("probe", &*" ".repeat(PROBE))?;
        write.commit()?;
        let write = self.database.begin_write()?;
        write.open_table(META)?.remove("probe")?;
        Ok(write.commit()?)
    }

    /// Makes the file as small as possible.
    pub(crate) fn compact(&mut self) -> Result<(), Error> {
        self.database.compact()?;
        Ok(())
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether this task is in the file.
    pub(crate) fn has(&self, id: TaskId) -> bool {
        self.numbers.contains_key(&id)
    }

    /// The number of the next task.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Writes a group in one transaction. After an error the ledger can't be used any more.
    pub(crate) fn write(&mut self, inserts: &[Insert], changes: &Changes) -> Result<(), Error> {
        let write = self.database.begin_write()?;
        {
            let mut records = write.open_table(RECORDS)?;
            let mut messages = write.open_table(MESSAGES)?;
            let mut ended = write.open_table(ENDED)?;
            for insert in inserts {
                if self.numbers.contains_key(&insert.id) {
                    continue;
                }
                let key = (self.next, insert.id.into());
                records.insert(key, &*insert.record)?;
                messages.insert(key, &*insert.message)?;
                self.numbers.insert(insert.id, self.next);
                self.next += 1;
            }
            for (&id, change) in changes {
                let Some(&number) = self.numbers.get(&id) else {
                    continue;
                };
                let key = (number, id.into());
                if change.removes() {
                    records.remove(key)?;
                    messages.remove(key)?;
                    ended.insert(self.next_ended, u128::from(id))?;
                    self.next_ended += 1;
                    self.numbers.remove(&id);
                    continue;
                }
                let changed = records
                    .get(key)?
                    .map(|stored| changed(id, stored.value(), change));
                let Some((changed, has_outcome)) = changed.transpose()? else {
                    continue;
                };
                records.insert(key, &*changed)?;
                if let Some(outcome) = change.kept_outcome() {
                    messages.insert(key, outcome)?;
                } else if change.drops_message() && !has_outcome {
                    messages.remove(key)?;
                }
            }
            while ended.len()? > MOST_ENDED {
                ended.pop_first()?;
            }
        }
        Ok(write.commit()?)
    }

    /// At most `most` records with these numbers, with these changes applied; and the number at which the next page
    /// begins.
    pub(crate) fn page(
        &self,
        numbers: Range<u64>,
        most: usize,
        changes: &Changes,
    ) -> Result<(Vec<Record>, u64), Error> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        let mut page = Vec::new();
        let mut next = numbers.start;
        for row in records.range((numbers.start, 0)..(numbers.end, 0))? {
            if page.len() == most {
                return Ok((page, next));
            }
            let (key, stored) = row?;
            let (number, id) = key.value();
            next = number + 1;
            page.extend(read(id.into(), stored.value(), changes)?);
        }
        Ok((page, numbers.end))
    }

    /// The message of a task, with these changes applied; `None` if nothing is to be published.
    pub(crate) fn message(&self, id: TaskId, changes: &Changes) -> Result<Option<Task>, Error> {
        let Some(&number) = self.numbers.get(&id) else {
            return Ok(None);
        };
        let key = (number, u128::from(id));
        let read_now = self.database.begin_read()?;
        let stored = read_now.open_table(RECORDS)?.get(key)?;
        let message = read_now.open_table(MESSAGES)?.get(key)?;
        let (Some(stored), Some(message)) = (stored, message) else {
            return Ok(None);
        };
        let record = read(id, stored.value(), changes)?.filter(|record| !record.published);
        let task = record.map(|record| readable(id, codec::task(record, message.value())));
        task.transpose()
    }

    /// The outcome of a task that is kept, with these changes applied; `None` if there is none that this version can read.
    pub(crate) fn kept_outcome(
        &self,
        id: TaskId,
        changes: &Changes,
    ) -> Result<Option<Outcome>, Error> {
        let Some(&number) = self.numbers.get(&id) else {
            return Ok(None);
        };
        let key = (number, u128::from(id));
        let read_now = self.database.begin_read()?;
        let stored = read_now.open_table(RECORDS)?.get(key)?;
        let record = match stored {
            Some(stored) => read(id, stored.value(), changes)?,
            None => None,
        };
        if !record.is_some_and(|record| record.has_outcome) {
            return Ok(None);
        }
        if let Some(unwritten) = changes.get(&id).and_then(Change::kept_outcome) {
            return Ok(outcome::read(unwritten));
        }
        let kept = read_now.open_table(MESSAGES)?.get(key)?;
        Ok(kept.and_then(|kept| outcome::read(kept.value())))
    }

    /// The tasks that ended last, at most `most`, the newest first.
    pub(crate) fn ended(&self, most: usize) -> Result<Vec<TaskId>, Error> {
        let ended = self.database.begin_read()?.open_table(ENDED)?;
        let rows = ended.iter()?.rev().take(most);
        rows.map(|row| Ok(row?.1.value().into())).collect()
    }
}

/// The stored form of a record after a change that does not remove it, and whether an outcome is in its message's place.
fn changed(id: TaskId, stored: &[u8], change: &Change) -> Result<(Vec<u8>, bool), Error> {
    let mut record = readable(id, StoredRecord::read(stored))?;
    change.apply(&mut record);
    let has_outcome = record.has_outcome();
    Ok((readable(id, record.bytes())?, has_outcome))
}

/// A record with these changes applied; `None` if they remove it.
fn read(id: TaskId, stored: &[u8], changes: &Changes) -> Result<Option<Record>, Error> {
    let mut record = readable(id, StoredRecord::read(stored))?;
    if let Some(change) = changes.get(&id) {
        if change.removes() {
            return Ok(None);
        }
        change.apply(&mut record);
    }
    readable(id, record.with(id)).map(Some)
}
