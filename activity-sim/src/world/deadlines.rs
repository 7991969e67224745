//! The alarms in the order of their time. An alarm is never removed early. When it is due, its owner
//! checks whether it is still needed.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    clock::Micros,
    record::TimeoutType,
    world::ids::{ExecutionNo, PollNo, TaskNo},
};

/// The effect of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The hold of a poll is over.
    PollEnds(PollNo),
    /// A time-out of a task may be due.
    Timeout(TaskNo, TimeoutType),
    /// An execution retries its activity.
    Retry(ExecutionNo),
}

/// Ordered by time, then by the order in which the alarms were set.
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

/// A heap: setting and taking an alarm cost the logarithm of the number of alarms.
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

    /// Takes the earliest alarm with its time, if it is due.
    pub(crate) fn take_due(&mut self, now: Micros) -> Option<(Micros, Alarm)> {
        if self.next()? > now {
            return None;
        }
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.alarm))
    }

    /// Removes all alarms except the ends of polls.
    pub(crate) fn clear_tasks(&mut self) {
        self.heap
            .retain(|entry| matches!(entry.0.alarm, Alarm::PollEnds(_)));
    }
}
