//! The simulator over real HTTP: what it promises, a file for each part.

mod abandoned;
mod admin;
mod client;
mod faults;
mod polling;
mod program;
mod refusals;
mod settling;
mod timeouts;
