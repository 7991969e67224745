//! The commands other than `run`: `check`, `tasks` and `release`.

pub mod check;
pub mod release;
pub mod tasks;
