//! The supervisor: opens one generation after another, and reports the state of the link.

use super::{
    access::Current, generation::Generation, missing_queues::MissingQueues, options::Options,
    reader::ReaderBounds,
};
use crate::{
    broker::{Inbound, Link},
    util::{
        Backoff,
        crash_point::{CrashPoint, crash_point},
    },
};
use std::{convert::Infallible, sync::Arc, time::Duration};
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
        let mut attempts = 0_usize;
        loop {
            crash_point(CrashPoint::BrokerLoop);
            let (broker, why) = self.attempt(attempts, &mut backoff).await;
            attempts = attempts.wrapping_add(1);
            warn!(%broker, why, "no connection to the broker");
            self.link.send_replace(Link::Away(why));
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Connects to one of the addresses, and uses the connection until it ends. Returns the address and the reason of the end.
    async fn attempt(&self, attempts: usize, backoff: &mut Backoff) -> (String, String) {
        let current = match self.options.access.for_attempt().await {
            Ok(current) => current,
            Err(why) => return (self.options.access.first(), why),
        };
        let number = attempts % current.targets.len().max(1);
        let Some(target) = current.targets.get(number) else {
            return (String::new(), "there is no address".to_owned());
        };
        let broker = target.uri.to_string();
        let opening = Generation::open(
            target,
            &self.options,
            &self.inbound,
            &self.bounds,
            &self.missing,
        );
        let opened = timeout(OPEN_TIMEOUT, opening).await;
        let why = match opened {
            Ok(Ok((generation, consumer))) => {
                info!(%broker, "connected to the broker");
                let born = Instant::now();
                let why = self.live(Arc::new(generation), consumer, current).await;
                if born.elapsed() > GOOD_LIFE {
                    backoff.reset();
                }
                why
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no connection within {} s", OPEN_TIMEOUT.as_secs()),
        };
        (broker, why)
    }

    /// Lets all callers use a generation until it fails. Returns the reason.
    async fn live(
        &self,
        generation: Arc<Generation>,
        consumer: mpsc::Receiver<Inbound>,
        current: Current,
    ) -> String {
        self.current.send_replace(Some(Arc::clone(&generation)));
        self.link.send_replace(Link::Up);
        let why = tokio::select! {
            why = generation.watch(consumer, &self.inbound, &self.link) => why,
            never = self.follow_files(&generation, current) => match never {},
        };
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

    /// Tells the broker each new token. An open connection needs nothing else of the files.
    async fn follow_files(&self, generation: &Generation, mut known: Current) -> Infallible {
        loop {
            let now = self.options.access.changed(&known).await;
            let changed = now.changes_since(&known);
            info!(
                changed,
                "files for the broker have changed; the next connection uses them"
            );
            if let Some(token) = now.token().filter(|token| known.token() != Some(*token)) {
                match generation.update_secret(token).await {
                    Ok(()) => info!("the broker has the new token of amqp.token_file"),
                    // A broker that refuses the token ends the connection. A blocked connection takes it later.
                    Err(why) => warn!(
                        why,
                        "the broker has not taken the new token of amqp.token_file"
                    ),
                }
            }
            known = now;
        }
    }
}
