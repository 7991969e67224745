//! A broker that does what the test says.

use super::{
    log::{Did, Log},
    parked::ParkedCopies,
    script::Script,
};
use activity_bridge::{
    broker::{
        Acknowledge, Announcement, Broker, Delivery, Destination, Durability, Link, ParkError,
        ParkedMessage, ParkedReading, PublishError, Readiness, ReadinessError, TaskMessage,
        TaskQueue,
    },
    task::{Status, TaskId},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{Notify, watch};

pub struct ScriptedBroker {
    log: Arc<Log>,
    pub link: watch::Sender<Link>,
    pub publishes: Script<Result<(), PublishError>>,
    pub parks: Script<Result<(), ParkError>>,
    pub announces: Script<Result<(), PublishError>>,
    pub answers: Script<Result<(), PublishError>>,
    /// Why nothing can be parked; then each attempt fails.
    pub parking_problem: Mutex<Option<String>>,
    /// What is parked.
    pub parked: Arc<ParkedCopies>,
    /// The tasks whose messages it was handed.
    pub published: Mutex<Vec<TaskId>>,
    pub readiness: Mutex<Result<Readiness, ReadinessError>>,
    pub readiness_changed: Notify,
    /// What the messages said: whether it may have been delivered before, and how many deliveries failed.
    pub redelivered: Mutex<Vec<(bool, u32)>>,
    durability: Durability,
    /// The queues of the routes, as it was told last.
    queues: Mutex<Vec<TaskQueue>>,
    /// The queues that somebody has looked at.
    pub looked_at: Mutex<BTreeSet<String>>,
    /// The queues and exchanges that, it was told, no route has.
    pub left: Mutex<Vec<String>>,
    /// How long it takes until an answer about readiness has come back.
    pub observations: Script<()>,
}

impl ScriptedBroker {
    /// Connected, with one consumer on every queue.
    pub fn new(log: Arc<Log>, durability: Durability) -> Self {
        Self {
            parked: Arc::new(ParkedCopies::new(Arc::clone(&log))),
            log,
            link: watch::channel(Link::Up).0,
            publishes: Script::default(),
            parks: Script::default(),
            announces: Script::default(),
            answers: Script::default(),
            parking_problem: Mutex::default(),
            published: Mutex::default(),
            readiness: Mutex::new(Ok(Readiness {
                consumers: 1,
                ..Readiness::default()
            })),
            readiness_changed: Notify::new(),
            redelivered: Mutex::default(),
            durability,
            queues: Mutex::default(),
            looked_at: Mutex::default(),
            left: Mutex::default(),
            observations: Script::default(),
        }
    }

    /// The names of the routes' queues, as it was told last.
    pub fn queues(&self) -> Vec<String> {
        let queues = self.queues.lock();
        queues.iter().map(|queue| queue.name.clone()).collect()
    }

    pub fn block(&self) {
        self.link.send_replace(Link::Blocked("memory".to_owned()));
    }

    pub fn unblock(&self) {
        self.link.send_replace(Link::Up);
    }

    /// From now on it tells this, and hands messages to consumers with credit.
    pub fn tell(&self, consumers: u64, credit: u64, taken_last_second: u64) {
        *self.readiness.lock() = Ok(Readiness {
            ready: 0,
            consumers,
            credit: Some(credit),
            taken_last_second,
        });
        self.readiness_changed.notify_waiters();
    }

    /// It has one consumer, which takes so many more messages.
    pub fn set_credit(&self, credit: u64) {
        self.tell(1, credit, 0);
    }

    /// A consumer is done with a message, and takes the next one.
    pub fn finish_one(&self) {
        self.change(|ready, credit| match *ready {
            0 => *credit += 1,
            _ => *ready -= 1,
        });
    }

    /// Somebody fetches the first message that waits.
    pub fn get(&self) {
        self.change(|ready, _| *ready -= 1);
    }

    /// Hands a message over, or lets it wait.
    fn deliver(&self) {
        self.change(|ready, credit| match *credit {
            0 => *ready += 1,
            _ => *credit -= 1,
        });
    }

    /// Changes the messages that wait, and the credit, where it tells credit.
    fn change(&self, change: impl FnOnce(&mut u64, &mut u64)) {
        if let Ok(Readiness {
            ready,
            credit: Some(credit),
            ..
        }) = &mut *self.readiness.lock()
        {
            change(ready, credit);
            self.readiness_changed.notify_waiters();
        }
    }

    async fn unblocked(&self) {
        let mut link = self.link.subscribe();
        let taken = link.wait_for(|link| !matches!(link, Link::Blocked(_)));
        taken.await.expect("the broker lives");
    }
}

#[async_trait]
impl Broker for ScriptedBroker {
    async fn publish(&self, message: &TaskMessage<'_>) -> Result<(), PublishError> {
        self.log.note(Did::Publish);
        self.published.lock().push(message.id);
        let said = (message.redelivered, message.failed_deliveries);
        self.redelivered.lock().push(said);
        self.unblocked().await;
        let answer = self.publishes.next().await.unwrap_or(Ok(()));
        if answer.is_ok() {
            self.deliver();
        }
        answer
    }

    async fn withdraw(&self, task: TaskId) {
        self.log.note(Did::Withdraw(task));
    }

    async fn park(&self, message: &ParkedMessage<'_>, because: &str) -> Result<(), ParkError> {
        self.parks.next().await.unwrap_or(Ok(()))?;
        if self.parking_problem.lock().is_some() {
            return Err(PublishError::Nacked("it is full").into());
        }
        self.log.note(Did::Park(because.to_owned()));
        self.parked.add(message, because);
        Ok(())
    }

    async fn read_parked(&self, most: u16) -> Result<ParkedReading, String> {
        Ok(ParkedCopies::read(&self.parked, most))
    }

    fn parking_problem(&self) -> Option<String> {
        self.parking_problem.lock().clone()
    }

    async fn put_back(&self, _reply: &ParkedMessage<'_>) -> Result<(), PublishError> {
        self.log.note(Did::PutBack);
        Ok(())
    }

    async fn announce(&self, _task: TaskId, what: Announcement) -> Result<(), PublishError> {
        self.announces.next().await.unwrap_or(Ok(()))?;
        self.log.note(Did::Announce(what));
        Ok(())
    }

    async fn answer(&self, _sign: &Delivery, status: Status) -> Result<(), PublishError> {
        self.answers.next().await.unwrap_or(Ok(()))?;
        self.log.note(Did::Answer(status));
        Ok(())
    }

    fn reply_to(&self) -> &str {
        "activity-bridge.replies.flow"
    }

    async fn readiness(&self, destination: &Destination) -> Result<Readiness, ReadinessError> {
        let queue = destination.queue().map(|queue| queue.name.clone());
        self.looked_at.lock().extend(queue);
        let told = self.readiness.lock().clone();
        self.observations.next().await;
        told
    }

    async fn readiness_changed(&self, _destination: &Destination) {
        self.readiness_changed.notified().await;
    }

    async fn leave(&self, destination: &Destination) {
        let name = match destination {
            Destination::Queue(queue) => &queue.name,
            Destination::Exchange { name, .. } => name,
        };
        self.left.lock().push(name.clone());
    }

    fn set_queues(&self, queues: Vec<TaskQueue>) {
        *self.queues.lock() = queues;
    }

    fn expect_replies(&self, tasks_in_flight: usize) {
        self.log.note(Did::ExpectReplies(tasks_in_flight));
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    async fn close(&self, expects_replies: bool) {
        self.log.note(Did::CloseBroker(expects_replies));
    }
}

/// Acknowledges the delivery of this number.
pub struct Receipts {
    pub number: usize,
    pub log: Arc<Log>,
}

#[async_trait]
impl Acknowledge for Receipts {
    fn is_usable(&self) -> bool {
        true
    }

    async fn ack(&self) -> bool {
        self.log.note(Did::Ack(self.number));
        true
    }

    async fn requeue(&self) {
        self.log.note(Did::Requeue(self.number));
    }
}
