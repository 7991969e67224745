//! The two traits that hide the recording of spans. Only a binary with the feature `otlp` has an implementation.

use crate::{
    route::Route,
    task::{Task, Traceparent},
};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

/// Makes spans and exports them.
#[async_trait]
pub(super) trait Exporter: Send + Sync {
    fn task(&self, route: &Route, task: &Task) -> Arc<dyn Recorder>;

    async fn shutdown(&self, within: Duration);
}

/// Records one span.
pub(super) trait Recorder: Send + Sync {
    /// `is_call`: whether the span is a call to another system.
    fn child(&self, name: &'static str, is_call: bool) -> Arc<dyn Recorder>;

    /// Sets an attribute. If the value is an error, it sets the status of the span too.
    fn note(&self, key: &'static str, value: &'static str, is_error: bool);

    fn end(&self);

    fn traceparent(&self) -> Option<Traceparent>;
}
