//! The order of things, in process: a scripted broker, source and store, on paused time.
//!
//! A test says what each of the three answers and when. The loops of the bridge run as in `app`. Time passes only when all of
//! them wait, so each test is deterministic, and a promise in seconds is asserted to the millisecond.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod begun;
mod broker;
mod credit;
mod deliveries;
mod drain;
mod empty_queue;
mod heartbeats;
mod idle;
mod lines;
mod log;
mod lost_elsewhere;
mod lost_queue;
mod metrics;
mod outcomes;
mod panics;
mod parked;
mod polling;
mod publishing;
mod reading;
mod recovery;
mod release;
mod reload;
mod replay;
mod replicas;
mod replies;
mod requested_drain;
mod rights;
mod scaling;
mod script;
mod settling;
mod source;
mod start;
mod started;
mod steering;
mod store;
mod timeouts;
mod world;
