//! The commands other than `run`: `check`, `config`, `health`, `tasks`, `top`, `release`, `fail`, `parked`, `pause`, `drain`, `resume` and
//! `reload`.

pub mod check;
pub mod config;
pub mod drain;
pub mod health;
mod local_socket;
pub mod parked;
pub mod pause;
pub mod release;
pub mod reload;
mod standard_output;
pub mod tasks;
pub mod top;
