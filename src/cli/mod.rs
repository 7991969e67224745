//! The commands other than `run`: `check` and `tasks`.

pub mod check;
pub mod tasks;
