//! The bridge as the broker: what an acknowledgement, a return and a loss mean for a task, seen by a real client.

mod bugs;
mod certificates;
mod client;
mod crash;
pub mod hostile;
mod kept_outcomes;
mod operator;
mod parked;
mod release;
mod reload;
mod replicas;
mod rights;
mod rotation;
mod scaling;
mod settlement;
mod shared;
