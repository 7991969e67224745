//! Sessions without sockets: whatever clients send, nothing panics and everything stays bounded.

mod bounds;
mod client;
mod invariants;
mod operations;
mod random;

use client::{Client, World};
