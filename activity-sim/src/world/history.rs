//! The history of a workflow execution, put together out of its tasks when somebody asks for it.
//! Kept is only which task each event is about.

use std::sync::Arc;

use crate::{
    clock::Micros,
    world::{
        ExecutionIds, ExecutionNo, World,
        states::Machine,
        task::{NewTask, Outcome},
    },
};

/// The id of the event by which the decider scheduled the tasks, as far as a history tells.
/// WorkflowExecutionStarted and the first decision's three events come first, and are not shown.
pub(crate) const DECISION_COMPLETED: u32 = 4;

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) ids: Arc<ExecutionIds>,
    /// The place among the tasks of the one that each event is about.
    pub(super) log: Vec<u32>,
    /// Only of Step Functions.
    pub(super) machine: Option<Box<Machine>>,
}

impl Execution {
    pub(super) fn new(ids: ExecutionIds) -> Self {
        Self {
            ids: Arc::new(ids),
            log: Vec::new(),
            machine: None,
        }
    }

    /// Adds an event about the task at this place and returns the event's id.
    pub(super) fn note(&mut self, task: usize) -> u32 {
        // So many tasks fit into no memory.
        self.log.push(task as u32);
        self.newest()
    }

    fn newest(&self) -> u32 {
        DECISION_COMPLETED + self.log.len() as u32
    }
}

/// One event of a history.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: u32,
    pub(crate) at: Micros,
    pub(crate) happened: Happened,
}

/// What an event says. Events are referred to by their ids; 0 is none.
#[derive(Debug)]
pub(crate) enum Happened {
    Scheduled {
        activity_id: String,
        task_list: String,
        asked: NewTask,
    },
    Started {
        scheduled: u32,
        identity: Option<String>,
    },
    Closed {
        scheduled: u32,
        started: u32,
        outcome: Outcome,
        /// Of the last heartbeat.
        last_details: Option<String>,
    },
}

/// A part of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// The id of its first event; the history's first, or newest if reversed, without one.
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
        let no = ExecutionIds::place_in(run_id)?;
        let execution = self.executions.get(no)?;
        let task = &self.tasks[*execution.log.first()? as usize];
        let found = execution.ids.run_id == run_id
            && execution.ids.workflow_id == workflow_id
            && self.queues[task.queue].domain == domain;
        found.then_some(ExecutionNo(no))
    }

    /// A page of an execution's history, and the id of the next page's first event if there is one.
    pub(crate) fn history(&self, no: ExecutionNo, page: Page) -> (Vec<Event>, Option<u32>) {
        let execution = &self.executions[no.0];
        let (first, newest) = (DECISION_COMPLETED + 1, execution.newest());
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

    /// The event of this id, which the execution has.
    fn event(&self, execution: &Execution, id: u32) -> Event {
        let place = execution.log[(id - DECISION_COMPLETED - 1) as usize] as usize;
        let task = &self.tasks[place];
        let (scheduled, started) = (task.scheduled_event, task.started_event);
        let (at, happened) = if id == scheduled {
            let happened = Happened::Scheduled {
                activity_id: self.activity_id(self.number(place)),
                task_list: self.queues[task.queue].name.clone(),
                asked: task.asked.clone(),
            };
            (task.scheduled, happened)
        } else if let Some((at, outcome)) = task.closed().filter(|_| id != started) {
            let happened = Happened::Closed {
                scheduled,
                started,
                outcome: outcome.clone(),
                last_details: task.last_details(),
            };
            (at, happened)
        } else {
            let happened = Happened::Started {
                scheduled,
                identity: task.identity.clone(),
            };
            let at = task.started_at();
            (at.expect("its start was noted"), happened)
        };
        Event { id, at, happened }
    }
}
