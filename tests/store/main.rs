//! The token stores: what all of them promise, by one suite that runs against each; and what only one of them has.

#![allow(
    unreachable_pub,
    reason = "nothing of a test binary can be reached; `pub` marks what the harness offers"
)]
#![allow(clippy::disallowed_methods, reason = "tests compare whole files")]

mod contract;
mod file;
mod harness;
mod inflight;
mod log;
mod lost_elsewhere;
mod lost_messages;
mod messages;
mod redis;
mod upgrade;
