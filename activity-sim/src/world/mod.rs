//! The service's side of activity tasks as a pure state machine: task lists, held polls, tasks and
//! their time-outs. Every method gets the time as a parameter. Nothing here waits, locks or uses the
//! network.
//!
//! A caller first calls `World::advance` with the time, then a method with the same time, then
//! `World::take_answers`, which returns the held polls that have ended and what each answers.
//!
//! The names and limits of a particular API are in `swf` and `sfn`. Whether an answer arrives is the
//! business of `hub` and `conn`.
//!
//! The files depend on each other in this order.

mod ids;

mod task;

mod stats;

mod queue;

mod deadlines;

mod execution;

mod state;

mod polls;

mod closing;

mod step_functions;

mod cancel;

mod history;

mod view;

mod advance;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    cancel::CancelOutcome,
    closing::Refused,
    execution::DECISION_COMPLETED,
    history::{Event, EventKind, Page},
    ids::{ExecutionNo, PollNo, QueueNo, TaskNo},
    polls::Polled,
    state::{Handout, Rules, World},
    task::{Heartbeat, NewTask, Outcome},
};
