//! A custody with a clock, and the tests of what it promises.

mod graces;
mod model;
mod places;
mod properties;
mod rules;
mod settlement;

use super::{
    super::custody_terms::{
        AckMode, Acked, Arrival, ConnectionId, Delivered, DeliveryId, Due, Heard, Recipient,
        ReturnCause, Returned, Said, Terms,
    },
    Custody,
};
use crate::task::TaskId;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const COMPLETES: AckMode = AckMode::Completes { written: false };
const WRITTEN: AckMode = AckMode::Completes { written: true };
const GRACE: Duration = Duration::from_millis(100);

/// A connection with one consumer.
const ANNA: ConnectionId = 1;
const BERT: ConnectionId = 2;

fn terms(ack: AckMode) -> Terms {
    Terms {
        route: "payments".into(),
        ack,
        ack_grace: GRACE,
        ack_timeout: None,
        delivery_limit: None,
    }
}

fn arrival(terms: Terms) -> Arrival {
    Arrival {
        terms: Arc::new(terms),
        failed_deliveries: 0,
        redelivered: false,
        expires: None,
    }
}

fn task(number: u128) -> TaskId {
    TaskId::from(number)
}

/// A custody and the time.
struct World {
    custody: Custody,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            custody: Custody::new(now),
            now,
        }
    }

    /// A world with one task in its queue.
    fn with(terms: Terms) -> Self {
        let mut world = Self::new();
        world.custody.enter(task(1), arrival(terms));
        world
    }

    fn enter(&mut self, number: u128, ack: AckMode) {
        self.custody.enter(task(number), arrival(terms(ack)));
    }

    /// Delivers a task to the consumer of a connection. Both have the same number.
    fn deliver(&mut self, number: u128, connection: ConnectionId) -> Delivered {
        let to = Recipient {
            connection,
            consumer: Some(connection),
            no_ack: false,
        };
        let delivered = self.custody.deliver(task(number), to, self.now);
        delivered.expect("the task waits")
    }

    fn ack(&mut self, delivery: DeliveryId) -> Acked {
        self.custody.ack(delivery, self.now)
    }

    /// Delivers a task and acknowledges it. Its grace runs.
    fn deliver_and_ack(&mut self, number: u128, connection: ConnectionId) -> DeliveryId {
        let id = self.deliver(number, connection).id;
        assert_eq!(self.ack(id), Acked::Grace);
        id
    }

    fn said(&mut self, number: u128, what: Said) -> Heard {
        self.custody.said(task(number), what, self.now)
    }

    fn after(&mut self, millis: u64) -> Vec<Due> {
        self.now += Duration::from_millis(millis);
        self.custody.due(self.now)
    }

    fn waits(&self, number: u128) -> bool {
        self.custody.may_deliver(task(number), None, self.now)
    }

    /// How long it takes until something is due.
    fn next_due(&self) -> Option<Duration> {
        let next = self.custody.next_due()?;
        Some(next.saturating_duration_since(self.now))
    }
}

fn waits_with(count: u32) -> Returned {
    Returned::Waits { count }
}
