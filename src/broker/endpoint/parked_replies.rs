//! The bounds of the queue of parked replies, and what its file is asked to do. Pure.

use super::{message::Message, queue::Position};
use crate::broker::names::PARKING_QUEUE;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::error;

/// Timeout for a message that waits for the disk.
pub(crate) const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// Says that the disk is slow.
pub(crate) fn slow(waits: Duration) -> String {
    let secs = waits.as_secs();
    format!("the disk of the file of parked replies has not answered for {secs} s")
}

/// What the thread of the file is asked to do.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Write a message.
    Insert(Insert),
    /// Delete a message, which counts for so many bytes.
    Remove(Position, usize),
    /// Write all that is not written yet, and close the file.
    Close(oneshot::Sender<()>),
}

/// A message that is to be written.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) position: Position,
    pub(crate) message: Arc<Message>,
    /// Receives the result once the message is on the disk.
    pub(crate) done: oneshot::Sender<Result<(), String>>,
}

/// Why a message is not parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The queue is full.
    Full(String),
    /// The file can't be written.
    Unwritable(String),
}

/// What is parked. A message counts from before it is written until it is deleted from the file.
#[derive(Debug)]
pub(crate) struct ParkedReplies {
    max_messages: usize,
    max_bytes: usize,
    messages: usize,
    bytes: usize,
    /// Whether a message was refused since one was deleted.
    is_full: bool,
    /// Why the file can't be written.
    failure: Option<String>,
    /// Since when the thread of the file waits for the disk.
    waits: Option<Instant>,
    /// The thread of the file. Each message has at most two requests in it, so it is never full.
    file: Option<mpsc::Sender<Ask>>,
}

impl ParkedReplies {
    /// Nothing is parked yet, and messages are kept in memory.
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            max_messages,
            max_bytes,
            messages: 0,
            bytes: 0,
            is_full: false,
            failure: None,
            waits: None,
            file: None,
        }
    }

    /// A channel to the thread of the file, with room for all requests. From here on messages are kept in the file.
    pub(crate) fn keep_in_file(&mut self) -> (mpsc::Sender<Ask>, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(2 * self.max_messages + 2);
        self.file = Some(asks.clone());
        (asks, asked)
    }

    /// Counts a message that is in the file already.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Counts one more message, if there is room for it. An empty queue has room for any message.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let has_room = self.messages < self.max_messages && self.bytes + bytes <= self.max_bytes;
        if !has_room && self.messages > 0 {
            self.is_full = true;
            return Err(NoRoom::Full(self.fullness()));
        }
        self.count(bytes);
        Ok(())
    }

    /// Counts a message no longer.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_full = false;
    }

    /// Asks the thread of the file. False if messages are kept in memory.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        // After the file was closed nothing is written any more.
        if let Err(mpsc::error::TrySendError::Full(_)) = file.try_send(ask) {
            error!(
                "the file of parked replies has too many requests; this is a bug of activity-bridge"
            );
        }
        true
    }

    /// Notes why the file can't be written; `None` if it can.
    pub(crate) fn set_failure(&mut self, failure: Option<String>) {
        self.failure = failure;
    }

    /// Notes since when the thread of the file waits for the disk; `None` if it does not.
    pub(crate) fn set_waits(&mut self, waits: Option<Instant>) {
        self.waits = waits;
    }

    /// Why replies are refused; `None` if there is room.
    pub(crate) fn problem(&self, now: Instant) -> Option<String> {
        let full = || self.is_full.then(|| self.fullness());
        let failure = self.failure.clone();
        failure.or_else(|| self.slowness(now)).or_else(full)
    }

    fn slowness(&self, now: Instant) -> Option<String> {
        let waits = now.saturating_duration_since(self.waits?);
        (waits >= DISK_TIMEOUT).then(|| slow(waits))
    }

    fn fullness(&self) -> String {
        format!(
            "the queue {PARKING_QUEUE} is full: messages: {}, bytes: {}; read it, and acknowledge what is not needed any more",
            self.messages, self.bytes
        )
    }

    /// The number of messages, and the bytes that they count for.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_refused_by_number_or_by_bytes_until_one_is_deleted() {
        let mut parked = ParkedReplies::new(3, 100);
        assert_eq!(parked.reserve(60), Ok(()));
        assert_eq!(parked.problem(Instant::now()), None);
        let refused = parked.reserve(41);
        assert!(matches!(refused, Err(NoRoom::Full(_))), "{refused:?}");
        assert!(
            parked
                .problem(Instant::now())
                .is_some_and(|why| why.contains("is full"))
        );
        assert_eq!(parked.reserve(20), Ok(()), "a smaller one has room");
        assert_eq!(parked.reserve(20), Ok(()));
        assert!(parked.reserve(0).is_err(), "a fourth message");
        assert_eq!(parked.size(), (3, 100));
        parked.release(60);
        assert_eq!(parked.problem(Instant::now()), None);
        assert_eq!(parked.reserve(60), Ok(()));
    }

    #[test]
    fn an_empty_queue_takes_a_message_of_any_size() {
        let mut parked = ParkedReplies::new(3, 100);
        assert_eq!(parked.reserve(101), Ok(()));
        assert!(parked.reserve(1).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_the_problem_until_it_can() {
        let mut parked = ParkedReplies::new(3, 100);
        parked.set_failure(Some("the disk is full".to_owned()));
        assert_eq!(
            parked.problem(Instant::now()).as_deref(),
            Some("the disk is full")
        );
        parked.set_failure(None);
        assert_eq!(parked.problem(Instant::now()), None);
    }

    #[test]
    fn a_disk_that_does_not_answer_is_the_problem() {
        let mut parked = ParkedReplies::new(3, 100);
        let now = Instant::now();
        parked.set_waits(Some(now));
        assert_eq!(parked.problem(now + Duration::from_secs(4)), None);
        let problem = parked.problem(now + Duration::from_secs(7));
        assert!(problem.is_some_and(|why| why.contains("for 7 s")));
        parked.set_waits(None);
        assert_eq!(parked.problem(now + Duration::from_secs(7)), None);
    }
}
