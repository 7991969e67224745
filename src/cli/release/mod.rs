//! `activity-bridge release`: tells the running process that tasks are to be published again, or failed back to AWS.

pub mod command;
mod report;
