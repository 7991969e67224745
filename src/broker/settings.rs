//! The settings of the broker: which one, and where it is.

use super::{
    contract::Durability,
    endpoint::{EndpointConfig, settings as endpoint},
    kind::BrokerKind,
    rabbitmq::Uri,
};
use crate::settings::{Reader, address};
use std::fmt;

/// The settings of the broker.
#[derive(Clone, Debug)]
pub enum BrokerConfig {
    /// The bridge is the broker.
    Endpoint(EndpointConfig),
    /// A RabbitMQ. Its addresses are tried in turn; there is at least one.
    RabbitMq(Vec<Uri>),
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

/// The keys that say where a RabbitMQ is.
const URI_KEYS: [&str; 3] = ["uri", "uris", "uri_file"];

/// Reads the table `[amqp]`. Without an address of a RabbitMQ, the bridge is the broker. The settings are `None` only if the
/// address has a problem.
pub(crate) fn read_amqp(mut amqp: Reader<'_>) -> (BrokerKind, Option<BrokerConfig>) {
    let Some(uri_key) = URI_KEYS.into_iter().find(|key| amqp.has(key)) else {
        for key in URI_KEYS {
            amqp.discard(key);
        }
        let config = endpoint::read(&mut amqp);
        amqp.finish();
        let config = BrokerConfig::Endpoint(config);
        return (BrokerKind::Endpoint, Some(config));
    };
    let words = address::Words {
        keys: URI_KEYS,
        noun: "URI",
        server: "the broker",
    };
    let uris = address::read(&mut amqp, &words);
    for key in endpoint::KEYS {
        if amqp.discard(key) {
            let rule = format!(
                "is for the bridge as the broker, and `{uri_key}` names a RabbitMQ; remove `{key}`, or `{uri_key}`"
            );
            amqp.problem(key, None, rule);
        }
    }
    amqp.finish();
    let config = (!uris.is_empty()).then_some(BrokerConfig::RabbitMq(uris));
    (BrokerKind::RabbitMq, config)
}
