//! The thread that writes the file of parked replies. What is asked for during one flush of the disk is written by the next
//! transaction.

use super::{
    parked_file::ParkedFile,
    parked_replies::{Ask, Insert},
    queue::Position,
    switch::Switch,
};
use crate::util::{
    Backoff,
    crash_point::{CrashPoint, crash_point},
};
use anyhow::Context;
use std::{collections::BTreeMap, mem, path::PathBuf, thread, time::Duration};
use tokio::{
    runtime,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// Maximum number of requests that are read at once.
const QUEUE: usize = 1_024;

/// See the module.
pub(super) struct ParkedWriter {
    switch: Switch,
    path: PathBuf,
    instance: String,
    /// `None` after a failure, until the file is open again.
    file: Option<ParkedFile>,
    inserts: Vec<Insert>,
    /// The messages to delete, and what each counts for. Bounded by the messages in the file.
    removals: BTreeMap<Position, usize>,
    /// After a failure: when the file is opened again.
    due: Option<Instant>,
    failure: String,
    backoff: Backoff,
}

impl ParkedWriter {
    /// Starts the thread. It ends when it is asked to close the file.
    pub(super) fn start(
        file: ParkedFile,
        switch: Switch,
        asked: mpsc::Receiver<Ask>,
    ) -> anyhow::Result<()> {
        let writer = Self::new(file, switch);
        // The thread has its own runtime, so that it can finish its writes when the bridge's runtime is shut down.
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.context("can't start the thread of the parked replies")?;
        let run = move || runtime.block_on(writer.run(asked));
        let started = thread::Builder::new()
            .name("parked-replies".to_owned())
            .spawn(run);
        started.context("can't start the thread of the parked replies")?;
        Ok(())
    }

    pub(super) fn new(file: ParkedFile, switch: Switch) -> Self {
        Self {
            switch,
            path: file.path().to_owned(),
            instance: file.instance().to_owned(),
            file: Some(file),
            inserts: Vec::new(),
            removals: BTreeMap::new(),
            due: None,
            failure: String::new(),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(10)),
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut asks = Vec::new();
        loop {
            let some = asked.recv_many(&mut asks, QUEUE);
            let taken = match self.due {
                Some(due) => timeout_at(due, some).await.ok(),
                None => Some(some.await),
            };
            for ask in asks.drain(..) {
                crash_point(CrashPoint::ParkLoop);
                match ask {
                    Ask::Insert(insert) => self.inserts.push(insert),
                    Ask::Remove(position, bytes) => drop(self.removals.insert(position, bytes)),
                    Ask::Close(closed) => {
                        self.write();
                        drop(self);
                        drop(asked);
                        // The caller may have stopped waiting for a slow disk.
                        let _ = closed.send(());
                        return;
                    }
                }
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.open_again();
            }
            self.write();
            if taken == Some(0) {
                return;
            }
        }
    }

    /// Writes all that was asked for.
    fn write(&mut self) {
        if self.inserts.is_empty() && self.removals.is_empty() {
            return;
        }
        let Some(file) = &self.file else {
            return self.refuse();
        };
        self.switch
            .with(|state| state.parked.set_waits(Some(Instant::now())));
        let inserts = self.inserts.iter();
        let written = file.write(
            inserts.map(|insert| (insert.position, &*insert.message)),
            self.removals.keys().copied(),
        );
        if let Err(error) = written {
            let failure = file.wrong(&error);
            warn!(
                error = failure,
                "the file of parked replies failed; it will be opened again"
            );
            // The transaction may be in the file all the same.
            let positions = self.inserts.iter().map(|insert| (insert.position, 0));
            self.removals.extend(positions);
            return self.later(failure);
        }
        self.backoff.reset();
        let (inserts, removals) = (mem::take(&mut self.inserts), mem::take(&mut self.removals));
        let now = Instant::now();
        self.switch.with(|state| {
            for bytes in removals.into_values().filter(|bytes| *bytes > 0) {
                state.parked.release(bytes);
            }
            for insert in &inserts {
                state.enqueue_parked(insert.position, &insert.message, now);
            }
            state.parked.set_failure(None);
            state.parked.set_waits(None);
        });
        for insert in inserts {
            answer(insert, Ok(()));
        }
    }

    fn later(&mut self, failure: String) {
        self.file = None;
        self.due = Some(Instant::now() + self.backoff.next_wait());
        self.failure = failure;
        let failure = Some(self.failure.clone());
        self.switch.with(|state| {
            state.parked.set_failure(failure);
            state.parked.set_waits(None);
        });
        self.refuse();
    }

    /// Refuses all messages, because the file is not open.
    fn refuse(&mut self) {
        let inserts = mem::take(&mut self.inserts);
        self.switch.with(|state| {
            for insert in &inserts {
                state.parked.release(insert.message.bytes());
            }
        });
        for insert in inserts {
            answer(insert, Err(self.failure.clone()));
        }
    }

    fn open_again(&mut self) {
        self.due = None;
        // A transaction without a message shows whether the file can be written.
        let opened = ParkedFile::open_again(&self.path, &self.instance).and_then(|file| {
            let removals = self.removals.keys().copied();
            let written = file.write([].into_iter(), removals);
            written.map_err(|error| file.wrong(&error))?;
            Ok(file)
        });
        match opened {
            Ok(file) => {
                info!(path = %self.path.display(), "file of parked replies opened again");
                self.file = Some(file);
                self.switch.with(|state| state.parked.set_failure(None));
            }
            Err(failure) => self.later(failure),
        }
    }
}

/// Answers an insert. Its caller may have stopped waiting.
fn answer(insert: Insert, outcome: Result<(), String>) {
    let _ = insert.done.send(outcome);
}
