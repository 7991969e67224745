//! The activity side of Amazon SWF, and what of the rest a worker asks for: the actions, their limits
//! and faults. What both services share is in `wire`; what tasks do is the world's.

mod action;
mod execute;
mod fault;
mod history;
mod limits;
mod request;

pub(crate) use self::action::SwfAction;
