//! The state: all task lists, polls, tasks and executions. The other files add what happens to them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use crate::{
    clock::Micros,
    model::ActivityType,
    record::TimeoutType,
    world::{
        deadlines::{Alarm, Deadlines},
        execution::Execution,
        ids::{ExecutionIds, ExecutionNo, PollNo, QueueNo, TaskNo},
        queue::Queues,
        task::Task,
    },
};

/// The rules of a simulator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long a poll is held before it is answered empty.
    pub(crate) hold: Micros,
    /// Maximum open polls for each task list.
    pub(crate) max_open_polls: usize,
    /// A number that makes the activity ids of this simulator unique in the process.
    pub(crate) label: u64,
}

/// A task as its worker gets it.
#[derive(Clone, Debug)]
pub(crate) struct Handout {
    pub(crate) task: TaskNo,
    pub(crate) activity_id: String,
    pub(crate) started_event: u32,
    pub(crate) execution: Arc<ExecutionIds>,
    pub(crate) activity_type: Arc<ActivityType>,
    pub(crate) input: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Poll {
    pub(super) queue: QueueNo,
    pub(super) identity: Option<String>,
}

/// All task lists, polls, tasks and executions.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) rules: Rules,
    pub(super) queues: Queues,
    pub(super) executions: Vec<Execution>,
    /// By domain and workflow id. An execution without a given id is not in it.
    named_executions: HashMap<(String, String), ExecutionNo>,
    /// The tasks since the last reset. The first has the number `first`.
    pub(super) tasks: Vec<Task>,
    pub(super) first: u64,
    /// The polls that are held now. A task list's line may still have polls that have ended.
    pub(super) polls: HashMap<PollNo, Poll>,
    pub(super) next_poll: u64,
    pub(super) max_open_polls: u64,
    pub(super) deadlines: Deadlines,
    pub(super) answers: Vec<(PollNo, Option<Handout>)>,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            queues: Queues::default(),
            executions: Vec::new(),
            named_executions: HashMap::new(),
            tasks: Vec::new(),
            first: 1,
            polls: HashMap::new(),
            next_poll: 0,
            max_open_polls: 0,
            deadlines: Deadlines::default(),
            answers: Vec::new(),
        }
    }

    /// When `World::advance` must be called next.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.next()
    }

    /// The held polls that have ended since the last call, with a task or without.
    pub(crate) fn take_answers(&mut self) -> Vec<(PollNo, Option<Handout>)> {
        std::mem::take(&mut self.answers)
    }

    /// The task list of this name. It is created if it does not exist.
    pub(crate) fn queue(&mut self, domain: &str, name: &str) -> QueueNo {
        self.queues.find_or_create(domain, name)
    }

    /// The execution of this workflow id. It is created if it does not exist, and always without an id.
    pub(crate) fn execution(&mut self, domain: &str, workflow_id: Option<&str>) -> ExecutionNo {
        let no = ExecutionNo(self.executions.len());
        if let Some(id) = workflow_id {
            let key = (domain.to_owned(), id.to_owned());
            match self.named_executions.entry(key) {
                Entry::Occupied(known) => return *known.get(),
                Entry::Vacant(unknown) => unknown.insert(no),
            };
        }
        let workflow_id = workflow_id.map_or_else(|| self.execution_name(no), str::to_owned);
        let ids = ExecutionIds::new(workflow_id, no);
        self.executions.push(Execution::new(ids));
        no
    }

    /// The name of an execution without a given one. It is unique in the process.
    pub(super) fn execution_name(&self, no: ExecutionNo) -> String {
        format!("workflow-{}-{}", self.rules.label, self.first + no.0 as u64)
    }

    /// Removes tasks, executions and totals. Held polls stay held. Old tokens become unknown.
    pub(crate) fn reset(&mut self) {
        self.first += self.tasks.len().max(self.executions.len()) as u64;
        self.tasks.clear();
        self.executions.clear();
        self.named_executions.clear();
        self.deadlines.clear_tasks();
        self.max_open_polls = self.polls.len() as u64;
        self.queues.reset();
    }

    pub(crate) fn activity_id(&self, task: TaskNo) -> String {
        format!("activity-{}-{}", self.rules.label, task.0)
    }

    /// The task of an activity id of this simulator, whether the task exists or not.
    pub(crate) fn task_of(&self, activity_id: &str) -> Option<TaskNo> {
        let (label, no) = activity_id.strip_prefix("activity-")?.split_once('-')?;
        (label.parse() == Ok(self.rules.label)).then_some(())?;
        no.parse().ok().map(TaskNo)
    }

    pub(super) fn number(&self, index: usize) -> TaskNo {
        TaskNo(self.first + index as u64)
    }

    pub(super) fn index(&self, task: TaskNo) -> Option<usize> {
        let index = usize::try_from(task.0.checked_sub(self.first)?).ok()?;
        (index < self.tasks.len()).then_some(index)
    }

    pub(super) fn task(&self, task: TaskNo) -> Option<&Task> {
        self.index(task).map(|index| &self.tasks[index])
    }

    /// Sets the alarm for a time-out, unless there is no such time-out.
    pub(super) fn arm(
        &mut self,
        since: Micros,
        span: Option<Micros>,
        task: TaskNo,
        timeout: TimeoutType,
    ) {
        if let Some(span) = span {
            self.deadlines
                .set(since.saturating_add(span), Alarm::Timeout(task, timeout));
        }
    }
}
