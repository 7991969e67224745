//! The activity side of AWS Step Functions: the actions, their limits and faults. What both services
//! share is in `wire`; what tasks and executions do is the world's.

mod action;
mod execute;
mod fault;
mod request;

pub(crate) use self::action::SfnAction;
