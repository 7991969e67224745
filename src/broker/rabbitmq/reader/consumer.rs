//! The consumer of replies: how many it takes at once, when it rests because memory is short, and its channel.
//!
//! RabbitMQ keeps the prefetch that a consumer began with. So another prefetch needs another consumer.

use super::{
    held::{MAX_HELD_BYTES, that_fit},
    receipt::{CHANNEL, put, reject},
};
use crate::broker::{
    amqp::{method::short_string, outbox::Outbox},
    rabbitmq::options::Options,
};
use amq_protocol::{
    protocol::{AMQPClass, basic, channel},
    types::FieldTable,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Number of small replies in a row after which a consumer with a small prefetch gets the full one again.
const SMALL_IN_A_ROW: u32 = 100;

/// Minimum time between two errors of the channel after which it is opened again. Errors that come faster end the connection.
const REOPEN_INTERVAL: Duration = Duration::from_secs(10);

/// RabbitMQ's code for a delivery that was not acknowledged in time, among others.
const PRECONDITION_FAILED: u16 = 406;

/// See the module.
pub(super) struct Consumer {
    queue: String,
    /// The prefetch that is configured.
    full: u16,
    /// The prefetch of the present consumer, or of the next one.
    prefetch: u16,
    small_in_a_row: u32,
    /// The number of the present consumer; `None` while none is there.
    number: Option<u64>,
    next_number: u64,
    outbox: Arc<Outbox>,
    /// Whether the channel is open. The receipts of its deliveries share it.
    is_usable: Arc<AtomicBool>,
    reopened: Option<Instant>,
}

impl Consumer {
    /// The consumer that the handshake has started.
    pub(super) fn started(options: &Options, outbox: Arc<Outbox>) -> Self {
        Self {
            queue: options.reply_queue.clone(),
            full: options.prefetch,
            prefetch: options.prefetch,
            small_in_a_row: 0,
            number: Some(0),
            next_number: 1,
            outbox,
            is_usable: Arc::new(AtomicBool::new(true)),
            reopened: None,
        }
    }

    pub(super) fn is_usable(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_usable)
    }

    pub(super) fn rests(&self) -> bool {
        self.number.is_none()
    }

    /// Takes so many replies at once, if that is more than before.
    pub(super) fn widen(&mut self, full: u16) {
        let was_full = self.prefetch >= self.full;
        if full <= self.full {
            return;
        }
        self.full = full;
        if was_full && !self.rests() {
            self.begin_with(full);
        }
    }

    fn begin_with(&mut self, prefetch: u16) {
        self.stop();
        self.prefetch = prefetch;
        self.resume();
    }

    /// Notes the size of a reply that had room.
    pub(super) fn took(&mut self, size: u64) {
        if self.prefetch >= self.full || self.rests() {
            return;
        }
        let is_small = size <= MAX_HELD_BYTES / u64::from(self.full);
        self.small_in_a_row = if is_small { self.small_in_a_row + 1 } else { 0 };
        if self.small_in_a_row >= SMALL_IN_A_ROW {
            self.begin_with(self.full);
        }
    }

    /// Puts a reply back, and rests.
    pub(super) fn no_room(&mut self, tag: u64, size: u64) {
        // The consumer ends first, or the broker would deliver the reply again at once.
        self.stop();
        self.prefetch = self.prefetch.min(that_fit(size, self.full));
        self.put(&AMQPClass::Basic(reject(tag)));
    }

    /// Takes replies again.
    pub(super) fn resume(&mut self) {
        self.put(&qos(self.prefetch));
        self.put(&consume(&self.queue, self.next_number));
        self.number = Some(self.next_number);
        self.next_number += 1;
        self.small_in_a_row = 0;
    }

    /// Opens the channel again, after an error that another channel need not have.
    pub(super) fn reopen(&mut self, code: u16, why: &str) -> Result<(), String> {
        let words = format!("{code} {why}");
        let now = Instant::now();
        let too_soon = |before: Instant| now.duration_since(before) < REOPEN_INTERVAL;
        if code != PRECONDITION_FAILED || self.reopened.is_some_and(too_soon) {
            return Err(words);
        }
        tracing::warn!(
            why = words,
            "the broker closed the channel of replies; opening it again"
        );
        self.reopened = Some(now);
        self.outbox.put(|out| {
            self.is_usable.store(false, Ordering::Release);
            let close_ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
            put(&AMQPClass::Channel(close_ok), CHANNEL, out);
            let open = channel::AMQPMethod::Open(channel::Open {});
            put(&AMQPClass::Channel(open), CHANNEL, out);
        });
        self.is_usable = Arc::new(AtomicBool::new(true));
        self.resume();
        Ok(())
    }

    /// Says that the connection has ended.
    pub(super) fn end(&self) {
        self.is_usable.store(false, Ordering::Release);
        self.outbox.close();
    }

    fn stop(&mut self) {
        if let Some(number) = self.number.take() {
            let cancel = basic::Cancel {
                consumer_tag: short_string(&tag(number)),
                nowait: false,
            };
            self.put(&AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        }
    }

    fn put(&self, method: &AMQPClass) {
        self.outbox.put(|out| put(method, CHANNEL, out));
    }
}

fn tag(number: u64) -> String {
    format!("activity-bridge.{number}")
}

/// The method that sets the prefetch of the next consumer.
pub(super) fn qos(prefetch: u16) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos {
        prefetch_count: prefetch,
        global: false,
    }))
}

/// The method that starts the consumer of this number.
pub(super) fn consume(queue: &str, number: u64) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
        queue: short_string(queue),
        consumer_tag: short_string(&tag(number)),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    }))
}
