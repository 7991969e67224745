//! The commands other than `run`: `check`, `config`, `health`, `tasks`, `release`, `drain` and `resume`.

pub mod check;
pub mod config;
pub mod drain;
pub mod health;
mod local_socket;
pub mod release;
pub mod tasks;
