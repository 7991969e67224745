//! Integration tests: the real binary, a real RabbitMQ, and the simulator of both services over HTTP.
//!
//! `python3 scripts/test.py it` gives them a broker and a Redis of their own; each test has a virtual host and a prefix of
//! keys of its own in them, and those that break one start another. No test sleeps for a time, but for those of `scale`
//! which are about one: each waits for a condition, with a deadline.
//!
//! The main job and the heartbeats are tested from one body for tasks of SWF and of Step Functions: such a test takes a
//! `Source`, which knows what differs. Where `tests/flow` proves the order, one source and one store show here that the
//! parts fit. What only one of them has is in `cancel`, `discovery` and `replies` (SWF's cancel requests, its timeouts that
//! can be asked for) and in `step_functions`. What is between the bridge and the broker or an operator, and the tests of
//! scale, have tasks of SWF alone.
//!
//! Tasks are kept in memory unless a test says otherwise. Crashes with the other stores are in `crash`, failures of these
//! stores are in `store_trouble`, and several processes with one store are in `replicas`.

#![allow(
    unreachable_pub,
    reason = "nothing of a test binary can be reached; `pub` marks what the harness offers"
)]

mod acknowledging;
mod admin;
mod any_bytes;
mod aws_access;
mod blocked;
mod bodies_alone;
mod broken_log;
mod broker_trouble;
mod cancel;
mod cli;
mod connection_names;
mod connections;
mod crash;
mod dead_letters;
mod discovery;
mod drain;
mod early_reply;
mod endpoint;
mod faults;
mod garbage;
mod harness;
mod heartbeat_answers;
mod heartbeats;
mod held_replies;
mod hostile_aws;
mod hostile_replies;
mod isolation;
mod liveness;
mod lost_queue;
mod metrics;
mod oauth2;
mod panics;
mod per_pod;
mod permissions;
#[cfg(target_os = "linux")]
mod pod;
mod polling;
mod reading;
mod refused_queues;
mod reload;
mod replicas;
mod replies;
mod republishing;
#[cfg(target_os = "linux")]
mod requested_drain;
mod rotation;
mod routes;
mod routing;
mod scale;
mod secrets;
mod service_manager;
#[cfg(target_os = "linux")]
mod silent_broker;
mod silent_queues;
mod status;
mod steering;
mod step_functions;
mod store_trouble;
mod task_message;
mod tls;
mod trace_context;
mod unusable_replies;
mod upgrade;
