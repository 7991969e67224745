//! Stands in for the tracer in a binary without the feature `otlp`: it takes no room and does nothing.

use super::settings::OtlpConfig;
use crate::{
    route::Route,
    task::{Task, Traceparent},
};
use std::time::Duration;

/// Makes spans: none.
#[derive(Clone, Debug, Default)]
pub struct Tracer;

impl Tracer {
    /// The configuration of such a binary has no `[otlp]`.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn start(_config: Option<&OtlpConfig>) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// The span of a task.
    #[must_use]
    pub fn task(&self, _route: &Route, _task: &Task) -> Span {
        Span
    }

    /// Nothing is left to export.
    pub async fn shutdown(&self, _within: Duration) {}
}

/// A part of a task's way, not recorded.
#[derive(Clone, Debug, Default)]
pub struct Span;

impl Span {
    /// Of a task whose beginning is not at hand.
    #[must_use]
    pub fn none() -> Self {
        Self
    }

    /// A part of this part.
    #[must_use]
    pub fn child(&self, _name: &'static str) -> Self {
        Self
    }

    /// How the task was settled.
    pub fn outcome(&self, _kind: &'static str) {}

    /// It is over.
    pub fn ended(&self, _end: &'static str) {}

    /// What a worker continues the trace from.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        None
    }
}
