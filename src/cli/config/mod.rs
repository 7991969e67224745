//! `activity-bridge config`: the schema of the configuration, and what a configuration comes to.

pub mod print;
pub mod schema;
mod toml;
