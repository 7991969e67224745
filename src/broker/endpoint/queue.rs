//! A queue: the messages that wait, in order. A message that comes back returns to its old place. Pure.

use std::{collections::BTreeMap, ops::Bound};

/// The place of a message in its queue. It stays with the message while a consumer has it.
pub(crate) type Position = u64;

/// Messages that wait, in the order of their positions.
#[derive(Debug)]
pub(crate) struct Queue<M> {
    waiting: BTreeMap<Position, (M, usize)>,
    /// The place of the first message. Those before it are of an earlier queue with the same name.
    first: Position,
    next: Position,
    bytes: usize,
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            first: 0,
            next: 0,
            bytes: 0,
        }
    }
}

impl<M> Queue<M> {
    /// Adds a message at the end. `bytes` is what it counts for.
    pub(crate) fn push(&mut self, message: M, bytes: usize) -> Position {
        let position = self.reserve();
        self.put_back(position, message, bytes);
        position
    }

    /// The place of a message that comes later.
    pub(crate) fn reserve(&mut self) -> Position {
        let position = self.next;
        self.next += 1;
        position
    }

    /// A queue whose first message gets this place.
    pub(crate) fn starting_at(first: Position) -> Self {
        Self {
            first,
            next: first,
            ..Self::default()
        }
    }

    /// Whether a place is of an earlier queue with the same name.
    pub(crate) fn is_before(&self, position: Position) -> bool {
        position < self.first
    }

    /// Gives new messages this place and those after it.
    pub(crate) fn begin_at(&mut self, next: Position) {
        self.next = next;
    }

    /// Returns a message to its old place.
    pub(crate) fn put_back(&mut self, position: Position, message: M, bytes: usize) {
        self.bytes += bytes;
        if let Some((_, replaced)) = self.waiting.insert(position, (message, bytes)) {
            self.bytes -= replaced;
        }
    }

    /// Takes the first message for which `fits` is true, of the first `most` messages.
    pub(crate) fn take_first(
        &mut self,
        most: usize,
        fits: impl Fn(&M) -> bool,
    ) -> Option<(Position, M)> {
        let found = self
            .waiting
            .iter()
            .take(most)
            .find(|(_, (message, _))| fits(message));
        let position = *found?.0;
        self.remove(position).map(|message| (position, message))
    }

    /// The first message behind a place, or the first one.
    pub(crate) fn first_after(&self, after: Option<Position>) -> Option<(Position, &M)> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = self.waiting.range((begin, Bound::Unbounded));
        let (position, (message, _)) = behind.next()?;
        Some((*position, message))
    }

    /// Takes the message at a position.
    pub(crate) fn remove(&mut self, position: Position) -> Option<M> {
        let (message, bytes) = self.waiting.remove(&position)?;
        self.bytes -= bytes;
        Some(message)
    }

    /// Takes the oldest message.
    pub(crate) fn pop(&mut self) -> Option<(Position, M)> {
        let position = *self.waiting.keys().next()?;
        self.remove(position).map(|message| (position, message))
    }

    /// Number of messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the waiting messages count for, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes all messages. Returns the place of each, and what it counted for.
    pub(crate) fn purge(&mut self) -> Vec<(Position, usize)> {
        self.bytes = 0;
        let all = std::mem::take(&mut self.waiting).into_iter();
        all.map(|(position, (_, bytes))| (position, bytes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_back_returns_to_its_place() {
        let mut queue = Queue::default();
        for message in ["a", "b", "c"] {
            queue.push(message, 1);
        }
        let (first, a) = queue.pop().expect("a");
        let (second, b) = queue.pop().expect("b");
        queue.put_back(second, b, 1);
        queue.put_back(first, a, 1);
        let all: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, message)| message)
            .collect();
        assert_eq!(all, ["a", "b", "c"]);
        assert_eq!((queue.bytes(), queue.len()), (0, 0));
    }

    #[test]
    fn bytes_are_counted_for_what_waits() {
        let mut queue = Queue::default();
        let first = queue.push("a", 5);
        queue.push("b", 7);
        assert_eq!(queue.bytes(), 12);
        assert_eq!(queue.remove(first), Some("a"));
        assert_eq!(queue.remove(first), None);
        assert_eq!(queue.bytes(), 7);
        assert_eq!(queue.take_first(10, |message| *message == "x"), None);
        assert_eq!(queue.purge(), [(1, 7)]);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }
}
