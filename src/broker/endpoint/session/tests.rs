//! Sessions without sockets: whatever clients send, nothing panics and everything stays bounded.

mod bounds;
mod random;

use super::super::fuzz::{Client, World};
