//! The activity side of AWS Step Functions: the actions, their limits and their faults. What both services
//! share is in `wire`. The effects on tasks and executions are in `world`.
//!
//! The files depend on each other in this order.

mod action;

mod fault;

mod request;

mod execute;

mod service;

pub(crate) use self::action::SfnAction;
