//! How a task and a poll come together.

use std::sync::Arc;

use crate::{
    clock::Micros,
    record::TimeoutType,
    world::{
        deadlines::Alarm,
        ids::{ExecutionNo, PollNo, QueueNo, TaskNo},
        state::{Handout, Poll, World},
        task::{NewTask, Stage, Task},
    },
};

/// The first effect of a poll.
#[derive(Debug)]
pub(crate) enum Polled {
    Task(Handout),
    /// The poll waits for a task.
    Waiting(PollNo),
    TooMany,
}

impl World {
    /// Adds a task to its task list, or hands it to the poll that has waited longest.
    pub(crate) fn schedule(
        &mut self,
        now: Micros,
        queue: QueueNo,
        execution: ExecutionNo,
        new: NewTask,
    ) -> TaskNo {
        let index = self.tasks.len();
        let no = self.number(index);
        let spans = new.spans;
        let mut task = Task::new(queue, execution, new, now);
        task.scheduled_event = self.executions[execution.0].add_event(index);
        self.tasks.push(task);
        self.queues[queue].stats.scheduled += 1;
        let span = spans.schedule_to_close;
        self.arm(now, span, no, TimeoutType::ScheduleToClose);
        if let Some((poll_no, poll)) = self.longest_waiting(queue) {
            let handout = self.start(now, no, poll.identity);
            self.answers.push((poll_no, handout));
        } else {
            let span = spans.schedule_to_start;
            self.arm(now, span, no, TimeoutType::ScheduleToStart);
            self.queues[queue].push_task(no);
        }
        no
    }

    /// Begins a poll: it gets the task that has waited longest, or is held.
    pub(crate) fn poll(&mut self, now: Micros, queue: QueueNo, identity: Option<String>) -> Polled {
        while let Some(no) = self.queues[queue].pop_task() {
            // A task that timed out or was canceled is still in line.
            let scheduled = |task: &Task| matches!(task.stage, Stage::Scheduled);
            if !self.task(no).is_some_and(scheduled) {
                continue;
            }
            self.queues[queue].waiting -= 1;
            if let Some(handout) = self.start(now, no, identity.clone()) {
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
        Polled::Waiting(poll)
    }

    /// Records that the write of the answer that hands out a task begins.
    pub(crate) fn begin_answer(&mut self, now: Micros, task: TaskNo) {
        if let Some(index) = self.index(task) {
            self.tasks[index].answered = Some(now);
        }
    }

    /// Ends a held poll without a task.
    pub(super) fn end_poll(&mut self, no: PollNo) {
        if let Some(poll) = self.polls.remove(&no) {
            self.queues[poll.queue].end_poll(no);
            self.answers.push((no, None));
        }
    }

    /// Takes the first held poll out of the line, and removes those before it that have ended.
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
        let activity_id = self.activity_id(no);
        let task = &mut self.tasks[index];
        task.stage = Stage::Started {
            at: now,
            last_heartbeat: now,
        };
        task.identity = identity;
        task.cancel_requested = task.new.request_cancel;
        let execution = &mut self.executions[task.execution.0];
        task.started_event = execution.add_event(index);
        let handout = Handout {
            task: no,
            activity_id,
            started_event: task.started_event,
            execution: Arc::clone(&execution.ids),
            activity_type: Arc::clone(&task.new.activity_type),
            input: task.new.input.clone(),
        };
        let (queue, spans) = (task.queue, task.new.spans);
        self.queues[queue].stats.polled += 1;
        self.arm(now, spans.start_to_close, no, TimeoutType::StartToClose);
        self.arm(now, spans.heartbeat, no, TimeoutType::Heartbeat);
        Some(handout)
    }
}
