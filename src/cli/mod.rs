//! The command line: its arguments, `run`, and the other commands: `check`, `config`, `health`, `tasks`, `top`, `release`, `fail`,
//! `parked`, `pause`, `drain`, `resume` and `reload`.

pub mod arguments;
pub mod check;
pub mod config;
pub mod drain;
pub mod execute;
pub mod health;
mod local_socket;
pub mod parked;
pub mod pause;
pub mod release;
pub mod reload;
mod standard_output;
pub mod tasks;
pub mod top;
