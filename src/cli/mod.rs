//! The commands other than `run`: `check`, `tasks`, `release`, `drain` and `resume`.

pub mod check;
pub mod drain;
mod local_socket;
pub mod release;
pub mod tasks;
