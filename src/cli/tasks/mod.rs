//! `activity-bridge tasks`: prints the tasks in flight, as a table for people or as JSON for machines.

pub mod ask;
pub mod filter;
pub mod print;
pub mod table;
