//! What both services share: JSON 1.0 over HTTP with one POST for every action, which `X-Amz-Target`
//! names. Faults, throttles, latency, held polls, closed connections, counts and task tokens are here.
//!
//! An `Action` describes the actions of one service. The effects on tasks are in `world`.
//!
//! The files depend on each other in this order.

mod fault;

mod json;

pub(crate) mod limits;

pub(crate) mod token;

mod action;

mod serve;

pub(crate) use self::{
    action::{Action, Begun},
    fault::Fault,
    json::{put, read, written},
    serve::{Caller, serve, unknown},
};
