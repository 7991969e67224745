//! The commands beside `run`: `check` and `tasks`.

pub mod check;
pub mod tasks;
