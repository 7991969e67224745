//! Questions about queues and exchanges. Each has a channel of its own, because the broker answers the questions of a channel in
//! order, and may need a minute for a queue without a leader.

use super::{connect::Connection, queue_error::QueueError};
use lapin::Channel;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::Mutex as AsyncMutex, time::timeout};

/// Timeout for a question, and for opening a channel.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The channel for the questions about one queue or exchange. The broker closes it after each negative answer.
type Probe = Arc<AsyncMutex<Option<Channel>>>;

/// See the module. Bounded by the number of queues and exchanges in the configuration.
#[derive(Default)]
pub(super) struct Probes(Mutex<HashMap<String, Probe>>);

impl Probes {
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

    fn probe(&self, name: &str) -> Probe {
        let mut probes = self.0.lock();
        Arc::clone(probes.entry(name.to_owned()).or_default())
    }
}
