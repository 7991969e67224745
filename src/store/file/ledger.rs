//! The tables of the file, and one transaction on them. The ledger does not decide when a transaction is written.
//!
//! Each task has a number, in the order of insertion. The number is the first part of the task's key, so tasks of the
//! same age share pages of the file, and a group touches few pages. The map from id to number is kept in memory.

use super::change::{Change, Changes, Insert};
use crate::{
    store::{
        Contents, Record, StoreError,
        codec::{self, StoredRecord, Unreadable},
        outcome,
    },
    task::{Outcome, Task, TaskId},
};
use redb::{
    Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use std::{collections::HashMap, ops::Range};

/// A record that can't be read, and why.
pub(crate) type Skipped = (TaskId, Unreadable);

/// A page of records.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// The others on the page. They stay in the file.
    pub(crate) skipped: Vec<Skipped>,
    /// The number at which the next page begins.
    pub(crate) next: u64,
}

/// A task's number and id.
type Key = (u64, u128);

const RECORDS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("records");

/// The messages that may have to be published. The outcome of a task that AWS has not taken is in its message's place.
const MESSAGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("messages");

/// The ids of the tasks that ended last, in the order of their ends.
const ENDED: TableDefinition<'_, u64, u128> = TableDefinition::new("ended");

/// The version of the schema, and the id of the store.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// Maximum number of ended tasks whose ids are kept.
const MOST_ENDED: u64 = 20_000;

/// Number of bytes that are written to check that the disk has room.
const PROBE: usize = 512 << 10;

/// The version of the schema of these tables. Each record has a version of its own: see `codec`.
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
pub(crate) fn records(database: &impl ReadableDatabase) -> Result<Contents<Record>, Error> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let (mut records, mut unreadable) = (Vec::new(), 0);
    for row in table.iter()? {
        let (key, stored) = row?;
        match read(key.value().1.into(), stored.value(), &Changes::new()) {
            Ok(record) => records.extend(record),
            Err(_) => unreadable += 1,
        }
    }
    Ok(Contents {
        records,
        unreadable,
    })
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
                    .map(|stored| changed(stored.value(), change));
                // A record that can't be read stays as it is. Its task is not in flight, so nothing changes it in earnest.
                let Some(Ok((changed, keeps_message))) = changed else {
                    continue;
                };
                records.insert(key, &*changed)?;
                if let Some(outcome) = change.kept_outcome() {
                    messages.insert(key, outcome)?;
                } else if change.may_drop_message() && !keeps_message {
                    messages.remove(key)?;
                }
            }
            while ended.len()? > MOST_ENDED {
                ended.pop_first()?;
            }
        }
        Ok(write.commit()?)
    }

    /// At most `most` records with these numbers, with these changes applied. A record that can't be read holds up no other.
    pub(crate) fn page(
        &self,
        numbers: Range<u64>,
        most: usize,
        changes: &Changes,
    ) -> Result<Page, Error> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        let mut page = Page {
            next: numbers.start,
            ..Page::default()
        };
        for row in table.range((numbers.start, 0)..(numbers.end, 0))? {
            if page.records.len() == most {
                return Ok(page);
            }
            let (key, stored) = row?;
            let (number, id) = key.value();
            page.next = number + 1;
            match read(id.into(), stored.value(), changes) {
                Ok(record) => page.records.extend(record),
                Err(why) => page.skipped.push((id.into(), why)),
            }
        }
        page.next = numbers.end;
        Ok(page)
    }

    /// The message of a task whose record, with these changes applied, is so; `None` if there is none.
    pub(crate) fn message(
        &self,
        id: TaskId,
        changes: &Changes,
        is_so: impl Fn(&Record) -> bool,
    ) -> Result<Result<Option<Task>, StoreError>, Error> {
        let Some(&number) = self.numbers.get(&id) else {
            return Ok(Ok(None));
        };
        let key = (number, u128::from(id));
        let read_now = self.database.begin_read()?;
        let Some(stored) = read_now.open_table(RECORDS)?.get(key)? else {
            return Ok(Ok(None));
        };
        let message = read_now.open_table(MESSAGES)?.get(key)?;
        let unreadable = |why: Unreadable| StoreError::Unreadable(why.to_string());
        Ok(match read(id, stored.value(), changes) {
            Ok(Some(record)) if is_so(&record) => match message {
                Some(message) => codec::task(record, message.value())
                    .map(Some)
                    .map_err(unreadable),
                None => Err(StoreError::NoMessage),
            },
            Ok(_) => Ok(None),
            Err(why) => Err(unreadable(why)),
        })
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
        let record = stored.and_then(|stored| read(id, stored.value(), changes).ok().flatten());
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

/// The stored form of a record after a change that does not remove it, and whether its message or an outcome in its place is
/// kept.
fn changed(stored: &[u8], change: &Change) -> Result<(Vec<u8>, bool), Unreadable> {
    let mut record = StoredRecord::read(stored)?;
    change.apply(&mut record);
    let keeps_message = record.has_outcome() || record.needs_message();
    Ok((record.bytes()?, keeps_message))
}

/// A record with these changes applied; `None` if they remove it.
fn read(id: TaskId, stored: &[u8], changes: &Changes) -> Result<Option<Record>, Unreadable> {
    let mut record = StoredRecord::read(stored)?;
    if let Some(change) = changes.get(&id) {
        if change.removes() {
            return Ok(None);
        }
        change.apply(&mut record);
    }
    record.with(id).map(Some)
}
