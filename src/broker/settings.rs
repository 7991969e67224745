//! The settings of the broker: which one, and where it is.

use super::{
    contract::Durability,
    endpoint::{EndpointConfig, settings as endpoint},
    kind::BrokerKind,
    rabbitmq::{
        RabbitMqConfig,
        settings::{self as rabbitmq, URI_KEYS},
    },
    worker_limits::WorkerLimits,
};
use crate::settings::Reader;
use std::fmt;

/// The settings of the broker.
#[derive(Clone, Debug)]
pub enum BrokerConfig {
    /// The bridge is the broker.
    Endpoint(EndpointConfig),
    /// A RabbitMQ.
    RabbitMq(RabbitMqConfig),
}

impl BrokerConfig {
    /// Which broker it is.
    #[must_use]
    pub fn kind(&self) -> BrokerKind {
        match self {
            Self::Endpoint(_) => BrokerKind::Endpoint,
            Self::RabbitMq(_) => BrokerKind::RabbitMq,
        }
    }

    /// The bounds on what workers do; `None` if another broker sets them.
    #[must_use]
    pub fn worker_limits(&self) -> Option<WorkerLimits> {
        match self {
            Self::Endpoint(config) => Some(config.limits()),
            Self::RabbitMq(_) => None,
        }
    }

    /// Whether this broker keeps the messages that it has confirmed.
    #[must_use]
    pub fn durability(&self) -> Durability {
        match self {
            Self::Endpoint(_) => Durability::Process,
            Self::RabbitMq(_) => Durability::Durable,
        }
    }
}

impl fmt::Display for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(config) => write!(f, "endpoint {}", config.listen),
            Self::RabbitMq(_) => f.write_str("rabbitmq"),
        }
    }
}

/// Reads the table `[amqp]`. Without an address of a RabbitMQ, the bridge is the broker. The settings are `None` only if the
/// address has a problem.
pub(crate) fn read_amqp(mut amqp: Reader<'_>) -> (BrokerKind, Option<BrokerConfig>) {
    let Some(uri_key) = URI_KEYS.into_iter().find(|key| amqp.has(key)) else {
        for key in URI_KEYS {
            amqp.discard(key);
        }
        if amqp.discard("token_file") {
            let rule = "is for a login at a RabbitMQ, and without amqp.uri the bridge itself is the broker; remove it, or set amqp.uri";
            amqp.problem("token_file", None, rule);
        }
        let config = endpoint::read(&mut amqp);
        amqp.finish();
        let config = BrokerConfig::Endpoint(config);
        return (BrokerKind::Endpoint, Some(config));
    };
    let config = rabbitmq::read(&mut amqp);
    for key in endpoint::KEYS {
        if amqp.discard(key) {
            let rule = format!(
                "is for the bridge as the broker, and `{uri_key}` names a RabbitMQ; remove `{key}`, or `{uri_key}`"
            );
            amqp.problem(key, None, rule);
        }
    }
    amqp.finish();
    (BrokerKind::RabbitMq, config.map(BrokerConfig::RabbitMq))
}
