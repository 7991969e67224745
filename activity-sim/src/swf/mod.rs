//! The activity side of Amazon SWF and what else a worker asks of it: the actions, their limits and their
//! faults. What both services share is in `wire`. The effects on tasks are in `world`.
//!
//! The files depend on each other in this order.

mod action;

mod fault;

mod limits;

mod request;

mod access;

mod history;

mod execute;

mod service;

pub(crate) use self::action::SwfAction;
