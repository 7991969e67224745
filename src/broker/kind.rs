//! Which broker the configuration names.

use crate::settings::Reader;

/// Which broker it is. The settings of a route depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// The bridge is the broker.
    Endpoint,
    /// A RabbitMQ.
    RabbitMq,
}

impl BrokerKind {
    /// Refuses a key that needs a RabbitMQ. `value`: what to show of it.
    pub(crate) fn refuse_without_a_uri(self, table: &Reader<'_>, key: &str, value: Option<String>) {
        if self == Self::Endpoint {
            let rule = "needs a RabbitMQ, and without amqp.uri the bridge itself is the broker; remove it, or set amqp.uri";
            table.problem(key, value, rule);
        }
    }
}
