//! The supervisor: opens one generation after another, and reports the state of the link.

use super::{
    generation::Generation, missing_queues::MissingQueues, options::Options, reader::ReaderBounds,
};
use crate::{
    broker::{Inbound, Link},
    util::{
        Backoff,
        crash_point::{CrashPoint, crash_point},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tracing::{info, warn};

/// Timeout for everything from the TCP connection to the last declaration.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Minimum life of a generation after which the next one is opened without a wait.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// Timeout for the two closing handshakes.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Supervisor {
    pub(super) options: Options,
    pub(super) current: watch::Sender<Option<Arc<Generation>>>,
    pub(super) link: watch::Sender<Link>,
    pub(super) inbound: mpsc::Sender<Inbound>,
    pub(super) bounds: ReaderBounds,
    pub(super) missing: Arc<MissingQueues>,
}

impl Supervisor {
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        for uri in self.options.uris.iter().cycle() {
            crash_point(CrashPoint::BrokerLoop);
            let opened = timeout(
                OPEN_TIMEOUT,
                Generation::open(
                    uri,
                    &self.options,
                    &self.inbound,
                    &self.bounds,
                    &self.missing,
                ),
            )
            .await;
            let why = match opened {
                Ok(Ok((generation, consumer))) => {
                    info!(broker = %uri, "connected to the broker");
                    let born = Instant::now();
                    let why = self.live(Arc::new(generation), consumer).await;
                    if born.elapsed() > GOOD_LIFE {
                        backoff.reset();
                    }
                    why
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no connection within {} s", OPEN_TIMEOUT.as_secs()),
            };
            warn!(broker = %uri, why, "no connection to the broker");
            self.link.send_replace(Link::Away(why));
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Lets all callers use a generation until it fails. Returns the reason.
    async fn live(&self, generation: Arc<Generation>, consumer: mpsc::Receiver<Inbound>) -> String {
        self.current.send_replace(Some(Arc::clone(&generation)));
        self.link.send_replace(Link::Up);
        let why = generation.watch(consumer, &self.inbound, &self.link).await;
        self.current.send_replace(None);
        self.link.send_replace(Link::Away(why.clone()));
        generation.publisher().give_up(&why);
        if timeout(CLOSE_TIMEOUT, generation.close(None))
            .await
            .is_err()
        {
            info!("the old connection did not close in time; it is dropped");
        }
        why
    }
}
