//! The history of a workflow execution. It is composed of the execution's tasks when a caller asks for
//! it. Only the task of each event is stored.

use crate::{
    clock::Micros,
    world::{
        execution::{DECISION_COMPLETED, Execution},
        ids::{ExecutionIds, ExecutionNo},
        state::World,
        task::{NewTask, Outcome},
    },
};

/// One event of a history.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: u32,
    pub(crate) at: Micros,
    pub(crate) kind: EventKind,
}

/// The content of an event. The ids are ids of events; 0 is none.
#[derive(Debug)]
pub(crate) enum EventKind {
    Scheduled {
        activity_id: String,
        task_list: String,
        new: NewTask,
    },
    Started {
        scheduled: u32,
        identity: Option<String>,
    },
    Closed {
        scheduled: u32,
        started: u32,
        outcome: Outcome,
        /// The details of the last heartbeat.
        last_details: Option<String>,
    },
}

/// A part of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// The id of the first event on the page. Without it, the page begins with the history's first
    /// event, or with its newest event if `reverse` is true.
    pub(crate) from: Option<u32>,
    /// Newest first.
    pub(crate) reverse: bool,
    pub(crate) size: u32,
}

impl World {
    /// The execution of these ids in this domain.
    pub(crate) fn find_execution(
        &self,
        domain: &str,
        workflow_id: &str,
        run_id: &str,
    ) -> Option<ExecutionNo> {
        let no = ExecutionIds::number_in(run_id)?;
        let execution = self.executions.get(no.0)?;
        let task = &self.tasks[*execution.events.first()? as usize];
        let found = execution.ids.run_id == run_id
            && execution.ids.workflow_id == workflow_id
            && self.queues[task.queue].domain == domain;
        found.then_some(no)
    }

    /// A page of an execution's history, and the id of the first event on the next page if there is one.
    pub(crate) fn history(&self, no: ExecutionNo, page: Page) -> (Vec<Event>, Option<u32>) {
        let execution = &self.executions[no.0];
        let (first, newest) = (DECISION_COMPLETED + 1, execution.newest_event());
        let size = page.size as usize;
        let event = |id| self.event(execution, id);
        if page.reverse {
            let from = page.from.unwrap_or(newest).min(newest);
            let next = from.checked_sub(page.size).filter(|next| *next >= first);
            ((first..=from).rev().take(size).map(event).collect(), next)
        } else {
            let from = page.from.unwrap_or(first).max(first);
            let next = from.checked_add(page.size).filter(|next| *next <= newest);
            ((from..=newest).take(size).map(event).collect(), next)
        }
    }

    /// The event of this id, which must exist.
    fn event(&self, execution: &Execution, id: u32) -> Event {
        let place = execution.events[(id - DECISION_COMPLETED - 1) as usize] as usize;
        let task = &self.tasks[place];
        let (scheduled, started) = (task.scheduled_event, task.started_event);
        let (at, kind) = if id == scheduled {
            let kind = EventKind::Scheduled {
                activity_id: self.activity_id(self.number(place)),
                task_list: self.queues[task.queue].name.clone(),
                new: task.new.clone(),
            };
            (task.scheduled, kind)
        } else if let Some((at, outcome)) = task.closed().filter(|_| id != started) {
            let kind = EventKind::Closed {
                scheduled,
                started,
                outcome: outcome.clone(),
                last_details: task.last_details(),
            };
            (at, kind)
        } else {
            let kind = EventKind::Started {
                scheduled,
                identity: task.identity.clone(),
            };
            let at = task.started_at();
            (at.expect("a task with a start event has a start"), kind)
        };
        Event { id, at, kind }
    }
}
