//! `activity-bridge top`: the status page of the running bridge in a terminal.

pub mod command;
mod rates;
mod screen;
mod text;
mod view;
