//! The simulator over real HTTP. Each file tests one part.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod abandoned;
mod admin;
mod client;
mod connections;
mod faults;
mod history;
mod polling;
mod program;
mod refusals;
mod settling;
mod sfn;
mod timeouts;
