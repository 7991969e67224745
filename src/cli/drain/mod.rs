//! `activity-bridge drain` and `activity-bridge resume`: ask the running process on its local socket.

pub mod command;
