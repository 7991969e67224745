//! The queue of what is to happen at a time. Entries are never taken out early: who set one checks,
//! when it comes up, whether it still means anything.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    clock::Micros,
    record::TimeoutType,
    world::{ExecutionNo, PollNo, task::TaskNo},
};

/// What comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A poll has been held long enough.
    PollEnds(PollNo),
    /// A time-out of a task may strike.
    Timeout(TaskNo, TimeoutType),
    /// An execution tries its activity again.
    Retry(ExecutionNo),
}

/// Ordered by time, then by the order of setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: Micros,
    order: u64,
    alarm: Alarm,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A heap: setting and taking cost the logarithm of the number of entries.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
    set: u64,
}

impl Deadlines {
    pub(crate) fn set(&mut self, at: Micros, alarm: Alarm) {
        self.set += 1;
        self.heap.push(Reverse(Entry {
            at,
            order: self.set,
            alarm,
        }));
    }

    pub(crate) fn next(&self) -> Option<Micros> {
        self.heap.peek().map(|entry| entry.0.at)
    }

    /// Takes the earliest alarm, if it is due, and the time it was set for.
    pub(crate) fn take_due(&mut self, now: Micros) -> Option<(Micros, Alarm)> {
        if self.next()? > now {
            return None;
        }
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.alarm))
    }

    /// Forgets all but the ends of polls.
    pub(crate) fn forget_tasks(&mut self) {
        self.heap
            .retain(|entry| matches!(entry.0.alarm, Alarm::PollEnds(_)));
    }
}
