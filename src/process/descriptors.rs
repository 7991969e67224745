//! The limit on open files. Each connection of a worker and each call to AWS needs one.

use crate::{broker::BrokerConfig, route::RouteConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Number of descriptors for all that is not counted one by one: heartbeats and outcomes at work, the store, the admin
/// endpoint.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// Number of sockets of workers beyond the connections that are in use: those that close.
const CLOSING_SOCKETS: u64 = 128;

/// Raises the soft limit to the hard one. Returns the limit; `None` if there is none.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            debug!(%error, "the limit on open files could not be raised");
        }
    }
    soft_limit()
}

/// The hard limit, to which the bridge raises the soft one; `None` if there is none.
#[must_use]
pub fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// The soft limit; `None` if there is none.
pub fn soft_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Says that the limit is below what these settings may need; `None` if it is not.
#[must_use]
pub fn few(broker: &BrokerConfig, routes: &[RouteConfig], limit: Option<u64>) -> Option<String> {
    let workers = match broker {
        BrokerConfig::Endpoint(endpoint) => endpoint.max_connections as u64 + CLOSING_SOCKETS,
        BrokerConfig::RabbitMq(_) => 0,
    };
    let polls: u64 = routes.iter().map(|route| route.pollers.max as u64).sum();
    let needs = workers + polls + OTHER_DESCRIPTORS;
    let limit = limit.filter(|limit| *limit < needs)?;
    Some(format!(
        "the limit on open files is {limit}, and {needs} may be needed: {workers} for workers (amqp.max_connections), {polls} for polls (pollers.max), {OTHER_DESCRIPTORS} for the rest; raise it (ulimit -n, LimitNOFILE)"
    ))
}
