//! `activity-bridge check`: checks a configuration, and prints the results.

mod clock;
pub mod command;
mod polls;
mod report;
mod rows;
