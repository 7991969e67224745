//! activity-bridge pulls activity tasks of Amazon SWF and AWS Step Functions by long poll and publishes them to RabbitMQ;
//! workers in any language consume them with an ordinary AMQP client, and their replies become completions, failures, cancellations and
//! heartbeats.
//!
//! One task's way through the crate, in the order of the files that it passes:
//!
//! ```text
//!  gate    may this route poll?                      broker up, not blocked, queue there, a consumer on it
//!    │
//!  poller  slot ─► poll                              slots, pacer, source/
//!    │
//!  dispatch  flights.enter ─► store.insert ─► publish (mandatory, confirmed)          broker/
//!    │
//!    ▼  … the worker …
//!    │
//!  reply   read ─► flights.on_final_reply            heartbeat relays signs of life; parking keeps the unusable
//!    │
//!  settle  AWS ─► acknowledge the reply ─► store.remove ─► free the slot
//! ```
//!
//! A task that a process left behind enters beside the poll: [`recovery`] takes it from the store, at the start or, where
//! several processes share one, when another has died. [`replicas`] brings together a reply and the task of another process.
//!
//! [`lifecycle::step`] decides what each event means for a task, as a pure function; [`flights`] applies it; the other
//! modules carry out its commands. [`app`] is the only wiring, and nothing imports it but the commands.

pub mod admin;
pub mod app;
pub mod backoff;
pub mod bridge;
pub mod broker;
pub mod budget;
pub mod check;
pub mod config;
pub mod crash;
pub mod dead_letter;
pub mod dispatch;
pub mod flights;
pub mod gate;
pub mod heartbeat;
pub mod input;
pub mod lifecycle;
pub mod metrics;
pub mod pacer;
pub mod parking;
pub mod poller;
pub mod pulse;
pub mod recovery;
pub mod replicas;
pub mod reply;
pub mod report;
pub mod route;
pub mod settle;
pub mod shutdown;
pub mod slots;
pub mod source;
pub mod stack;
pub mod store;
pub mod task;
pub mod tasks;
pub mod telemetry;
pub mod trace;
