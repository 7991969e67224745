//! Tests of the state without sockets: connections are opened with an outbox, and what was written to it is decoded.

mod client;
mod deliveries;
mod direct_replies;
mod frames;
mod parked;
mod queues;
