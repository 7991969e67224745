//! Task lists. Each has a line of tasks that wait for a poll, and a line of polls that wait for a task.
//! Tasks and polls that have ended are still in line. Without them, one of the two lines is always empty.

use std::{
    collections::{HashMap, VecDeque},
    ops::{Index, IndexMut},
};

use crate::world::{
    ids::{PollNo, QueueNo, TaskNo},
    stats::Stats,
};

/// One task list.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) stats: Stats,
    /// Tasks in line that are still scheduled.
    pub(crate) waiting: u64,
    /// Polls in line that are still held.
    pub(crate) open_polls: usize,
    tasks: VecDeque<TaskNo>,
    polls: VecDeque<PollNo>,
}

impl Queue {
    pub(crate) fn push_task(&mut self, task: TaskNo) {
        self.waiting += 1;
        self.tasks.push_back(task);
    }

    pub(crate) fn pop_task(&mut self) -> Option<TaskNo> {
        self.tasks.pop_front()
    }

    pub(crate) fn push_poll(&mut self, poll: PollNo) {
        self.polls.push_back(poll);
        self.open_polls += 1;
        self.stats.max_open_polls = self.stats.max_open_polls.max(self.open_polls as u64);
    }

    pub(crate) fn pop_poll(&mut self) -> Option<PollNo> {
        self.polls.pop_front()
    }

    /// Ends a held poll without a task. All polls are held equally long, so it is the first in line.
    pub(crate) fn end_poll(&mut self, poll: PollNo) {
        self.open_polls -= 1;
        self.stats.empty_polls += 1;
        if self.polls.front() == Some(&poll) {
            self.polls.pop_front();
        }
    }
}

/// All task lists, by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    /// By domain, then by name. A lookup needs no combined key.
    names: HashMap<String, HashMap<String, QueueNo>>,
}

impl Queues {
    pub(crate) fn find(&self, domain: &str, name: &str) -> Option<QueueNo> {
        self.names.get(domain)?.get(name).copied()
    }

    pub(crate) fn find_or_create(&mut self, domain: &str, name: &str) -> QueueNo {
        if let Some(known) = self.find(domain, name) {
            return known;
        }
        let no = QueueNo(self.queues.len());
        self.queues.push(Queue {
            domain: domain.to_owned(),
            name: name.to_owned(),
            stats: Stats::default(),
            waiting: 0,
            open_polls: 0,
            tasks: VecDeque::new(),
            polls: VecDeque::new(),
        });
        self.names
            .entry(domain.to_owned())
            .or_default()
            .insert(name.to_owned(), no);
        no
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter()
    }

    /// Removes tasks and totals. The polls stay in line.
    pub(crate) fn reset(&mut self) {
        for queue in &mut self.queues {
            queue.tasks.clear();
            queue.waiting = 0;
            queue.stats = Stats::default();
            queue.stats.max_open_polls = queue.open_polls as u64;
        }
    }
}

impl Index<QueueNo> for Queues {
    type Output = Queue;

    fn index(&self, no: QueueNo) -> &Queue {
        &self.queues[no.0]
    }
}

impl IndexMut<QueueNo> for Queues {
    fn index_mut(&mut self, no: QueueNo) -> &mut Queue {
        &mut self.queues[no.0]
    }
}
