//! What the requests to the admin endpoint share.

use crate::{
    context::Bridge, intake::gate::Gate, phase::Phase, process::DrainSwitch, route::Route,
};
use std::sync::Arc;
use tokio::{sync::watch, time::Instant};

/// What the endpoint reads.
#[derive(Clone)]
pub struct Admin {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// Each route with its gate.
    pub routes: Vec<(Arc<Route>, watch::Receiver<Gate>)>,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// The kind of the broker, and the place of the endpoint.
    pub broker: Arc<str>,
    /// The kind and place of the token store.
    pub store: Arc<str>,
    /// When the process began.
    pub since: Instant,
    /// Whether the start is over.
    pub started: watch::Receiver<bool>,
    /// What drains the process.
    pub switch: DrainSwitch,
}
