//! `activity-bridge tasks`: the tasks in flight, for people and their machines.

pub mod ask;
pub mod print;
pub mod table;
