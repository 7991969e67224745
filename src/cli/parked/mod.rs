//! `activity-bridge parked`: lists, shows, replays and deletes what the bridge has parked.

pub mod arguments;
pub mod command;
mod results;
mod table;
mod terminal;
