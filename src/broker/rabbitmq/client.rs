//! The broker seam on RabbitMQ. Each call goes to the generation that is connected now.

use super::{
    generation::Generation,
    message::Message,
    options::{Options, prefetch_for},
    parking_health::ParkingHealth,
    queue_error::QueueFacts,
    reader::ReaderBounds,
    supervisor::{CLOSE_TIMEOUT, Supervisor},
};
use crate::{
    broker::{
        Announcement, Broker, Delivery, Destination, Durability, InboundStream, Link, ParkError,
        ParkedMessage, ParkedReader, ParkedReading, PublishError, Readiness, ReadinessError,
        TaskMessage, names::PARKING_QUEUE,
    },
    task::{HeaderValue, Status, TaskId},
    util::Backoff,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::warn;

/// See the module.
pub struct RabbitMq {
    reply_queue: String,
    /// The reply queue's name as a header of every task's message.
    reply_queue_header: HeaderValue,
    current: watch::Receiver<Option<Arc<Generation>>>,
    link: watch::Receiver<Link>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    parking_health: ParkingHealth,
    /// Held while the parking queue is declared again.
    declares_parking: AsyncMutex<()>,
    /// Maximum number of unacknowledged replies.
    prefetch: watch::Sender<u16>,
}

impl RabbitMq {
    /// Starts the supervisor, which connects in the background. Returns the inbound stream.
    #[must_use]
    pub fn start(options: Options) -> (Self, InboundStream) {
        let (current_tx, current) = watch::channel(None);
        let (link_tx, link) = watch::channel(Link::Away("connecting".to_owned()));
        let (inbound_tx, inbound) = mpsc::channel(usize::from(options.prefetch));
        let reply_queue = options.reply_queue.clone();
        let prefetch = watch::Sender::new(options.prefetch);
        let process = options.supervisor.clone();
        let supervisor = Supervisor {
            options,
            current: current_tx,
            link: link_tx,
            inbound: inbound_tx,
            bounds: ReaderBounds {
                held: Arc::default(),
                prefetch: prefetch.subscribe(),
            },
            missing: Arc::default(),
        };
        let connecting = process.spawn_loop("the connection to the broker", supervisor.run());
        let broker = Self {
            reply_queue_header: HeaderValue::Text(reply_queue.clone()),
            reply_queue,
            current,
            link,
            supervisor: Mutex::new(Some(connecting)),
            parking_health: ParkingHealth::default(),
            declares_parking: AsyncMutex::default(),
            prefetch,
        };
        (broker, inbound)
    }

    fn current(&self) -> Option<Arc<Generation>> {
        self.current.borrow().clone()
    }
}

/// Maximum wait until what was read and not acknowledged is back in the parking queue.
const PUT_BACK_TIMEOUT: Duration = Duration::from_secs(3);

/// A look at the parking queue that ends when the broker has put back what was looked at, so that the next look sees it.
struct Looking {
    reader: Box<dyn ParkedReader>,
    generation: Arc<Generation>,
    /// The number of consumers before.
    consumers: u64,
}

#[async_trait]
impl ParkedReader for Looking {
    async fn next(&mut self) -> Option<Delivery> {
        self.reader.next().await
    }

    async fn close(self: Box<Self>) {
        self.reader.close().await;
        // The broker removes the consumer and puts its messages back at the same time.
        let put_back = async {
            let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
            while let Ok(facts) = self.generation.parked().await
                && facts.consumers > self.consumers
            {
                sleep(backoff.next_wait()).await;
            }
        };
        drop(timeout(PUT_BACK_TIMEOUT, put_back).await);
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publish(&self, task: &TaskMessage<'_>) -> Result<(), PublishError> {
        let generation = self.current().ok_or(PublishError::Away)?;
        let id = task.id.reveal();
        let replies = (self.reply_queue.as_str(), &self.reply_queue_header);
        let message = Message::task(task, &id, replies);
        let published = generation.publisher().publish(task.id, &message).await;
        if let (Err(PublishError::Unroutable(_)), Destination::Queue(queue)) =
            (&published, task.destination)
        {
            // If the bridge declares this queue, it declares it again. The next attempt shows whether that helped.
            drop(generation.inspect(queue).await);
        }
        published
    }

    /// Does nothing: RabbitMQ can't take one message out of a queue. The worker that gets it hears that the task is
    /// gone.
    async fn withdraw(&self, _task: TaskId) {}

    async fn park(&self, parked: &ParkedMessage<'_>, because: &str) -> Result<(), ParkError> {
        let generation = self.current().ok_or(PublishError::Away)?;
        let because = HeaderValue::Text(because.to_owned());
        let message = Message::parked(parked, &because);
        let attempt = self.parking_health.begin();
        let posted = generation.publisher().park(&message).await;
        let problem = match &posted {
            Ok(()) => None,
            Err(PublishError::Unroutable(why)) => {
                // Somebody deleted the queue. The next attempt shows whether the declaration helped. Many replies come here
                // at once.
                let declared = match self.declares_parking.try_lock() {
                    Ok(_alone) => generation.declare_parking().await,
                    Err(_) => Ok(()),
                };
                Some(declared.map_or_else(|error| error.to_string(), |()| why.clone()))
            }
            Err(error) => Some(error.to_string()),
        };
        attempt.ended(problem);
        Ok(posted?)
    }

    fn parking_problem(&self) -> Option<String> {
        let why = self.parking_health.problem()?;
        Some(format!(
            "the queue {PARKING_QUEUE} takes no messages: {why}"
        ))
    }

    async fn read_parked(&self, most: u16) -> Result<ParkedReading, String> {
        let away = || PublishError::Away.to_string();
        let generation = self.current().ok_or_else(away)?;
        let (ParkedReading { count, reader }, consumers) = generation.read_parked(most).await?;
        let reader = Box::new(Looking {
            reader,
            generation,
            consumers,
        });
        Ok(ParkedReading { count, reader })
    }

    async fn put_back(&self, reply: &ParkedMessage<'_>) -> Result<(), PublishError> {
        let generation = self.current().ok_or(PublishError::Away)?;
        let message = Message::again(reply, &self.reply_queue);
        generation.publisher().put_back(&message).await
    }

    async fn announce(&self, task: TaskId, what: Announcement) -> Result<(), PublishError> {
        let generation = self.current().ok_or(PublishError::Away)?;
        let (id, reason) = (task.reveal(), HeaderValue::Text(what.label().to_owned()));
        let message = Message::announcement(what, &id, &reason);
        generation.publisher().signal(&message).await
    }

    async fn answer(&self, sign: &Delivery, status: Status) -> Result<(), PublishError> {
        let Some(reply_to) = &sign.reply_to else {
            return Ok(());
        };
        let generation = self.current().ok_or(PublishError::Away)?;
        let label = HeaderValue::Text(status.label().to_owned());
        let message = Message::status(status, reply_to, sign.correlation_id.as_deref(), &label);
        generation.publisher().signal(&message).await
    }

    fn reply_to(&self) -> &str {
        &self.reply_queue
    }

    async fn readiness(&self, destination: &Destination) -> Result<Readiness, ReadinessError> {
        let Some(generation) = self.current() else {
            return Err(ReadinessError::Away("not connected".to_owned()));
        };
        if let Destination::Exchange { name, .. } = destination {
            generation.find_exchange(name).await?;
        }
        generation.publisher().prepare(destination).await;
        let facts = match destination.queue() {
            Some(queue) => generation.inspect(queue).await?,
            None => QueueFacts::default(),
        };
        Ok(Readiness {
            ready: facts.ready,
            consumers: facts.consumers,
            credit: None,
            taken_last_second: 0,
        })
    }

    /// Waits for ever: RabbitMQ does not announce changes of a queue.
    async fn readiness_changed(&self, _destination: &Destination) {
        std::future::pending().await
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn leave(&self, destination: &Destination) {
        if let Some(generation) = self.current() {
            generation.leave(destination).await;
        }
    }

    fn expect_replies(&self, tasks_in_flight: usize) {
        let wanted = prefetch_for(tasks_in_flight);
        self.prefetch.send_if_modified(|prefetch| {
            let grows = wanted > *prefetch;
            *prefetch = wanted.max(*prefetch);
            grows
        });
    }

    async fn close(&self, expects_replies: bool) {
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            supervisor.abort();
        }
        if let Some(generation) = self.current() {
            let unused = (!expects_replies).then_some(self.reply_queue.as_str());
            let closing = generation.close(unused);
            if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
                warn!("the broker did not answer the closing handshake in time");
            }
        }
    }
}
