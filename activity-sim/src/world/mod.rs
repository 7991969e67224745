//! The service's side of activity tasks as a pure state machine: task lists, held polls, tasks and
//! their time-outs. Every method is given the time; nothing here waits, locks or talks to a network.
//!
//! A caller first calls [`World::advance`] with the time it is going to pass, then the method, then
//! [`World::take_answers`] to learn which held polls are to be answered and with what.
//!
//! Not its business: names and limits of a particular API, and whether an answer arrives.

mod deadlines;
mod history;
mod life;
mod queue;
mod states;
mod stats;
mod task;
mod view;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use self::{
    deadlines::{Alarm, Deadlines},
    history::Execution,
    queue::Queues,
    task::{Stage, Task},
};
pub(crate) use self::{
    history::{DECISION_COMPLETED, Event, Happened, Page},
    queue::QueueNo,
    states::Failure,
    task::{Beat, NewTask, Outcome, TaskNo},
};
use crate::{arn, clock::Micros, model::ActivityType, record::TimeoutType};

/// A held poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PollNo(u64);

/// A workflow execution, by its place among the executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionNo(pub(crate) usize);

/// The ids of a workflow execution; name and ARN of one of Step Functions.
#[derive(Debug)]
pub(crate) struct ExecutionIds {
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
}

impl ExecutionIds {
    /// The run id ends with the execution's place among the executions, so that it can be found.
    fn new(workflow_id: String, place: usize) -> Self {
        let run_id = format!("22{:020x}{place:016x}=", rand::random::<u64>());
        Self {
            workflow_id,
            run_id,
        }
    }

    fn place_in(run_id: &str) -> Option<usize> {
        usize::from_str_radix(run_id.get(22..38)?, 16).ok()
    }
}

/// What the world holds itself to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long a poll is held before it is answered empty.
    pub(crate) hold: Micros,
    /// Open polls per task list.
    pub(crate) max_open_polls: usize,
    /// Distinguishes this world's activity ids from those of other worlds in the process.
    pub(crate) label: u64,
}

/// What a task looks like to the worker who gets it.
#[derive(Clone, Debug)]
pub(crate) struct Handout {
    pub(crate) task: TaskNo,
    pub(crate) activity_id: String,
    pub(crate) started_event: u32,
    pub(crate) execution: Arc<ExecutionIds>,
    pub(crate) activity_type: Arc<ActivityType>,
    pub(crate) input: Option<Arc<str>>,
}

/// How a poll begins.
#[derive(Debug)]
pub(crate) enum Polled {
    Task(Handout),
    Held(PollNo),
    TooMany,
}

/// Why a heartbeat or a settlement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Never known, or before a reset.
    Unknown,
    /// Closed already.
    Closed,
    /// Canceled without having been asked to.
    CancelNotRequested,
}

/// What became of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelOutcome {
    Requested,
    Canceled,
    Closed,
    Unknown,
}

#[derive(Debug)]
struct Poll {
    queue: QueueNo,
    identity: Option<String>,
}

/// All task lists, polls and tasks.
#[derive(Debug)]
pub(crate) struct World {
    rules: Rules,
    queues: Queues,
    executions: Vec<Execution>,
    /// By domain and workflow id; executions without a given id are not in it.
    named_executions: HashMap<(String, String), ExecutionNo>,
    /// The tasks since the last reset; the first has the number `first`.
    tasks: Vec<Task>,
    first: u64,
    /// The polls held now. A task list's line may still name polls that have ended.
    polls: HashMap<PollNo, Poll>,
    next_poll: u64,
    max_open_polls: u64,
    deadlines: Deadlines,
    answers: Vec<(PollNo, Option<Handout>)>,
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

    /// Carries out all that is due at or before `now`.
    pub(crate) fn advance(&mut self, now: Micros) {
        while let Some((at, alarm)) = self.deadlines.take_due(now) {
            match alarm {
                Alarm::PollEnds(poll) => self.end_poll(poll),
                Alarm::Timeout(task, timeout) => self.check_timeout(at, task, timeout),
                Alarm::Retry(execution) => self.try_again(at, execution),
            }
        }
    }

    /// When [`World::advance`] next has something to do, or may have.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.next()
    }

    /// The held polls that have ended since the last call: with a task, or empty.
    pub(crate) fn take_answers(&mut self) -> Vec<(PollNo, Option<Handout>)> {
        std::mem::take(&mut self.answers)
    }

    /// The execution of this id, begun if need be; an execution of its own without an id.
    pub(crate) fn execution(&mut self, domain: &str, workflow_id: Option<&str>) -> ExecutionNo {
        let no = ExecutionNo(self.executions.len());
        if let Some(id) = workflow_id {
            match self
                .named_executions
                .entry((domain.to_owned(), id.to_owned()))
            {
                Entry::Occupied(known) => return *known.get(),
                Entry::Vacant(unknown) => unknown.insert(no),
            };
        }
        let workflow_id = workflow_id.map_or_else(|| self.execution_name(no), str::to_owned);
        let ids = ExecutionIds::new(workflow_id, no.0);
        self.executions.push(Execution::new(ids));
        no
    }

    /// The name of an execution that was given none; unique in the process.
    fn execution_name(&self, no: ExecutionNo) -> String {
        format!("workflow-{}-{}", self.rules.label, self.first + no.0 as u64)
    }

    /// Puts a task into its task list, or hands it to the poll that has waited longest.
    pub(crate) fn schedule(
        &mut self,
        now: Micros,
        queue: QueueNo,
        execution: ExecutionNo,
        asked: NewTask,
    ) -> TaskNo {
        let index = self.tasks.len();
        let task = self.number(index);
        let spans = asked.spans;
        let mut new = Task::new(queue, execution, asked, now);
        new.scheduled_event = self.executions[execution.0].note(index);
        self.tasks.push(new);
        self.queues[queue].stats.scheduled += 1;
        self.arm(
            now,
            spans.schedule_to_close,
            task,
            TimeoutType::ScheduleToClose,
        );
        if let Some((poll_no, poll)) = self.longest_waiting(queue) {
            let handout = self.start(now, task, poll.identity);
            self.answers.push((poll_no, handout));
        } else {
            self.arm(
                now,
                spans.schedule_to_start,
                task,
                TimeoutType::ScheduleToStart,
            );
            self.queues[queue].push_task(task);
        }
        task
    }

    /// Begins a poll: hands out the task that has waited longest, or holds the poll.
    pub(crate) fn poll(&mut self, now: Micros, queue: QueueNo, identity: Option<String>) -> Polled {
        while let Some(task) = self.queues[queue].pop_task() {
            // Tasks that timed out or were canceled are still in line.
            if !matches!(
                self.task(task),
                Some(Task {
                    stage: Stage::Scheduled,
                    ..
                })
            ) {
                continue;
            }
            self.queues[queue].waiting -= 1;
            if let Some(handout) = self.start(now, task, identity.clone()) {
                return Polled::Task(handout);
            }
        }
        if self.queues[queue].open_polls >= self.rules.max_open_polls {
            return Polled::TooMany;
        }
        self.next_poll += 1;
        let poll = PollNo(self.next_poll);
        self.polls.insert(poll, Poll { queue, identity });
        self.max_open_polls = self.max_open_polls.max(self.polls.len() as u64);
        self.queues[queue].push_poll(poll);
        self.deadlines
            .set(now.saturating_add(self.rules.hold), Alarm::PollEnds(poll));
        Polled::Held(poll)
    }

    /// Forgets tasks, executions and totals. Held polls stay held; old tokens are unknown.
    pub(crate) fn reset(&mut self) {
        self.first += self.tasks.len().max(self.executions.len()) as u64;
        self.tasks.clear();
        self.executions.clear();
        self.named_executions.clear();
        self.deadlines.forget_tasks();
        self.max_open_polls = self.polls.len() as u64;
        self.queues.reset();
    }

    /// The number of a task list, which comes into being here.
    pub(crate) fn queue(&mut self, domain: &str, name: &str) -> QueueNo {
        self.queues.find_or_create(domain, name)
    }

    fn number(&self, index: usize) -> TaskNo {
        TaskNo(self.first + index as u64)
    }

    fn index(&self, task: TaskNo) -> Option<usize> {
        let index = usize::try_from(task.0.checked_sub(self.first)?).ok()?;
        (index < self.tasks.len()).then_some(index)
    }

    fn task(&self, task: TaskNo) -> Option<&Task> {
        self.index(task).map(|index| &self.tasks[index])
    }

    fn arm(&mut self, since: Micros, span: Option<Micros>, task: TaskNo, timeout: TimeoutType) {
        if let Some(span) = span {
            self.deadlines
                .set(since.saturating_add(span), Alarm::Timeout(task, timeout));
        }
    }

    /// Takes the poll at the head of the line out of it, passing over those that have ended.
    fn longest_waiting(&mut self, queue: QueueNo) -> Option<(PollNo, Poll)> {
        while let Some(no) = self.queues[queue].pop_poll() {
            if let Some(poll) = self.polls.remove(&no) {
                self.queues[queue].open_polls -= 1;
                return Some((no, poll));
            }
        }
        None
    }

    fn start(&mut self, now: Micros, no: TaskNo, identity: Option<String>) -> Option<Handout> {
        let index = self.index(no)?;
        let task = &mut self.tasks[index];
        task.stage = Stage::Started {
            at: now,
            sign_of_life: now,
        };
        task.identity = identity;
        task.cancel_requested = task.asked.request_cancel;
        let execution = &mut self.executions[task.execution.0];
        task.started_event = execution.note(index);
        let handout = Handout {
            task: no,
            activity_id: String::new(),
            started_event: task.started_event,
            execution: Arc::clone(&execution.ids),
            activity_type: Arc::clone(&task.asked.activity_type),
            input: task.asked.input.clone(),
        };
        let (queue, spans) = (task.queue, task.asked.spans);
        self.queues[queue].stats.polled += 1;
        self.arm(now, spans.start_to_close, no, TimeoutType::StartToClose);
        self.arm(now, spans.heartbeat, no, TimeoutType::Heartbeat);
        Some(Handout {
            activity_id: self.activity_id(no),
            ..handout
        })
    }

    fn end_poll(&mut self, no: PollNo) {
        if let Some(poll) = self.polls.remove(&no) {
            self.queues[poll.queue].end_poll(no);
            self.answers.push((no, None));
        }
    }
}

#[cfg(test)]
mod tests;
