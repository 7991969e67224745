//! The commands other than `run`: `check`, `health`, `tasks`, `release`, `drain` and `resume`.

pub mod check;
pub mod drain;
pub mod health;
mod local_socket;
pub mod release;
pub mod tasks;
