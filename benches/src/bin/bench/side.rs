//! What is compared: the bridge with one of its brokers and one of its stores, or the floor.

use crate::contender::Place;
use anyhow::{Context, bail};
use std::env;

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Bridge(Broker, Store),
    Floor,
}

/// The broker of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broker {
    /// The bridge itself.
    Endpoint,
    RabbitMq,
}

/// The store of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    File,
    Redis,
}

/// What the run compares, from the environment variable `BROKER`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison {
    /// The stores, with one broker.
    Stores(Broker),
    /// The brokers, with each store.
    Brokers,
}

const REDIS_URL: &str = "REDIS_URL";

impl Comparison {
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        Ok(match env::var("BROKER").as_deref() {
            Err(_) | Ok("" | "rabbitmq") => Self::Stores(Broker::RabbitMq),
            Ok("endpoint") => Self::Stores(Broker::Endpoint),
            Ok("both") => Self::Brokers,
            Ok(other) => {
                bail!("BROKER={other}: there are only \"rabbitmq\", \"endpoint\" and \"both\"")
            }
        })
    }
}

impl Side {
    /// The sides with this broker: with Redis where `REDIS_URL` names one, and with the floor where it has a broker.
    pub(crate) fn all(broker: Broker) -> Vec<Self> {
        let mut stores = vec![Store::Memory, Store::File];
        if env::var_os(REDIS_URL).is_some() {
            stores.push(Store::Redis);
        }
        let bridges = stores.into_iter().map(|store| Self::Bridge(broker, store));
        let floor = (broker == Broker::RabbitMq).then_some(Self::Floor);
        bridges.chain(floor).collect()
    }

    /// Its name among sides with the same broker.
    pub(crate) fn store_name(self) -> &'static str {
        match self {
            Self::Bridge(_, store) => store.name(),
            Self::Floor => "floor",
        }
    }

    /// Its name among sides with the same store.
    pub(crate) fn broker_name(self) -> &'static str {
        match self {
            Self::Bridge(Broker::Endpoint, _) => "endpoint",
            Self::Bridge(Broker::RabbitMq, _) => "rabbitmq",
            Self::Floor => "floor",
        }
    }

    /// Its name among all sides.
    pub(crate) fn full_name(self) -> String {
        match self {
            Self::Bridge(..) => format!("{}-{}", self.broker_name(), self.store_name()),
            Self::Floor => "floor".to_owned(),
        }
    }

    /// Its queue.
    pub(crate) fn queue(self) -> String {
        format!("bench-{}", self.full_name())
    }
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File => "file",
            Self::Redis => "redis",
        }
    }

    /// The table of the bridge's configuration. What is stored is this run's alone.
    pub(crate) fn table(self, place: &Place, run: &str) -> anyhow::Result<String> {
        Ok(match self {
            Self::Memory => "kind = \"memory\"".to_owned(),
            Self::File => format!("kind = \"file\"\npath = {:?}", place.file(run)),
            Self::Redis => {
                let url = env::var(REDIS_URL).context(REDIS_URL)?;
                format!("kind = \"redis\"\nurl = {url:?}\nprefix = \"{run}\"")
            }
        })
    }
}
