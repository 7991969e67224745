//! One workflow execution, of SWF or of Step Functions: its ids and the order of its events.

use std::sync::Arc;

use crate::{
    clock::{Micros, micros},
    model::Retry,
    world::ids::ExecutionIds,
};

/// The id of the event DecisionTaskCompleted that scheduled the tasks. WorkflowExecutionStarted and the
/// first decision's three events come first; a history does not show them.
pub(crate) const DECISION_COMPLETED: u32 = 4;

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) ids: Arc<ExecutionIds>,
    /// For each event, the place of its task among the tasks.
    pub(super) events: Vec<u32>,
    /// Only for Step Functions.
    pub(super) machine: Option<Box<Machine>>,
}

/// What only an execution of Step Functions has.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) started: Micros,
    pub(super) retry: Option<Retry>,
    pub(super) stopped: Option<Micros>,
}

impl Execution {
    pub(super) fn new(ids: ExecutionIds) -> Self {
        Self {
            ids: Arc::new(ids),
            events: Vec::new(),
            machine: None,
        }
    }

    /// Adds an event of the task at this place and returns the event's id.
    pub(super) fn add_event(&mut self, task: usize) -> u32 {
        // Memory cannot hold more tasks than fit into u32.
        self.events.push(task as u32);
        self.newest_event()
    }

    pub(super) fn newest_event(&self) -> u32 {
        DECISION_COMPLETED + self.events.len() as u32
    }

    /// The places of its tasks, in order. An attempt begins only after the end of the one before.
    pub(super) fn attempts(&self) -> impl Iterator<Item = usize> {
        let mut last = None;
        let places = self.events.iter().map(|place| *place as usize);
        places.filter(move |place| last.replace(*place) != Some(*place))
    }

    /// The place of its newest task.
    pub(super) fn last_attempt(&self) -> Option<usize> {
        Some(*self.events.last()? as usize)
    }

    /// The interval from a failed attempt to the next one, if there is a next one.
    pub(super) fn retry_after(&self) -> Option<Micros> {
        let machine = self.machine.as_deref()?;
        let retry = machine.retry.filter(|_| machine.stopped.is_none())?;
        let used = self.attempts().count() - 1;
        (used < retry.max_attempts as usize).then(|| micros(retry.interval))
    }
}
