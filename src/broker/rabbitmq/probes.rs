//! Questions about queues and exchanges. Each has a channel of its own, because the broker answers the questions of a channel in
//! order, and may need a minute for a queue without a leader.

use super::{
    connect::Connection,
    missing_queues::MissingQueues,
    queue_error::{QueueError, QueueFacts},
    topology,
};
use crate::broker::{Inbound, QueueSpec};
use lapin::Channel;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    time::timeout,
};

/// Timeout for a question, and for opening a channel.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The channel for the questions about one queue or exchange. The broker closes it after each negative answer.
type Probe = Arc<AsyncMutex<Option<Channel>>>;

/// See the module. Bounded by the number of queues and exchanges in the configuration.
pub(super) struct Probes {
    channels: Mutex<HashMap<String, Probe>>,
    /// The queues that were declared on this connection. A declaration shows whether the arguments differ.
    declared: Mutex<HashSet<String>>,
    missing: Arc<MissingQueues>,
    inbound: mpsc::Sender<Inbound>,
}

impl Probes {
    pub(super) fn new(missing: &Arc<MissingQueues>, inbound: &mpsc::Sender<Inbound>) -> Self {
        Self {
            channels: Mutex::default(),
            declared: Mutex::default(),
            missing: Arc::clone(missing),
            inbound: inbound.clone(),
        }
    }

    /// Looks at a route's queue, and declares it if it is missing and the route says so, once the bridge has noted the loss. A queue
    /// that exists is declared once on each connection.
    pub(super) async fn inspect(
        &self,
        connection: &Connection,
        queue: &QueueSpec,
    ) -> Result<QueueFacts, QueueError> {
        let name = &queue.name;
        // A declaration alone would not tell whether the queue was there.
        let find = async |channel: &Channel| topology::find_queue(channel, name).await;
        let mut seen = self.ask(connection, name, find).await;
        if let Err(QueueError::Missing(_)) = &seen {
            if queue.declare.is_none() {
                self.missing.add(name);
            } else if !self.missing.tell_missing(name, &self.inbound).await {
                return Err(QueueError::Unnoted(name.clone()));
            }
        }
        let may_be_declared = match &seen {
            Ok(_) => !self.declared.lock().contains(name),
            Err(QueueError::Missing(_) | QueueError::Refused { .. }) => true,
            Err(_) => false,
        };
        if let Some(arguments) = &queue.declare
            && may_be_declared
        {
            let declare =
                async |channel: &Channel| topology::declare(channel, name, arguments).await;
            seen = self.ask(connection, name, declare).await;
            if seen.is_ok() {
                self.declared.lock().insert(name.clone());
            }
        }
        if let Ok(facts) = &seen {
            self.missing.found(name, facts.ready, &self.inbound).await;
        }
        seen
    }

    /// Asks a question about a queue or an exchange, one at a time for each.
    pub(super) async fn ask<T>(
        &self,
        connection: &Connection,
        name: &str,
        question: impl AsyncFnOnce(&Channel) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let silent = || QueueError::Silent(name.to_owned());
        let probe = self.probe(name);
        let Ok(mut probe) = timeout(ASK_TIMEOUT, probe.lock()).await else {
            return Err(silent());
        };
        let kept = probe.take();
        let asked = timeout(ASK_TIMEOUT, async {
            let channel = match kept {
                Some(channel) if channel.status().connected() => channel,
                Some(_) | None => {
                    let opened = connection.create_channel().await;
                    opened.map_err(|error| QueueError::Away(error.to_string()))?
                }
            };
            let answer = question(&channel).await?;
            Ok((channel, answer))
        });
        match asked.await {
            Ok(Ok((channel, answer))) => {
                *probe = Some(channel);
                Ok(answer)
            }
            // An error has closed the channel. The next question opens another.
            Ok(Err(error)) => Err(error),
            Err(_) => Err(silent()),
        }
    }

    /// Drops the channel for the questions about a queue or exchange. It is closed when the last question is answered.
    pub(super) fn leave(&self, name: &str) {
        self.channels.lock().remove(name);
        self.declared.lock().remove(name);
    }

    fn probe(&self, name: &str) -> Probe {
        let mut probes = self.channels.lock();
        Arc::clone(probes.entry(name.to_owned()).or_default())
    }
}
