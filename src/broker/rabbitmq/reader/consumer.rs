//! The consumer of replies: how many it takes at once, what it has skipped because memory was short, and its channel.
//!
//! A reply without room stays unacknowledged and without its body. When there is room, it is put back, and comes again. Others are
//! read meanwhile.

use super::{
    held::HeldBytes,
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

/// Minimum time between two errors of the channel after which it is opened again. Errors that come faster end the connection.
const REOPEN_INTERVAL: Duration = Duration::from_secs(10);

/// RabbitMQ's code for a delivery that was not acknowledged in time, among others.
const PRECONDITION_FAILED: u16 = 406;

/// See the module.
pub(super) struct Consumer {
    queue: String,
    prefetch: u16,
    /// The number of the present consumer.
    number: u64,
    /// The tags and sizes of replies without room. Bounded by the prefetch.
    skipped: Vec<(u64, u64)>,
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
            prefetch: options.prefetch,
            number: 0,
            skipped: Vec::new(),
            outbox,
            is_usable: Arc::new(AtomicBool::new(true)),
            reopened: None,
        }
    }

    pub(super) fn is_usable(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_usable)
    }

    /// Takes so many replies at once, if that is more than before. RabbitMQ keeps the prefetch that a consumer began with, so
    /// another prefetch needs another consumer.
    pub(super) fn widen(&mut self, prefetch: u16) {
        if prefetch <= self.prefetch {
            return;
        }
        self.prefetch = prefetch;
        let cancel = basic::Cancel {
            consumer_tag: short_string(&tag(self.number)),
            nowait: false,
        };
        self.put(&AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        self.begin();
    }

    fn begin(&mut self) {
        self.number += 1;
        self.put(&qos(self.prefetch));
        self.put(&consume(&self.queue, self.number));
    }

    /// Notes a reply without room.
    pub(super) fn skip(&mut self, tag: u64, size: u64) {
        self.skipped.push((tag, size));
    }

    pub(super) fn has_skipped(&self) -> bool {
        !self.skipped.is_empty()
    }

    /// Waits until there is room for a reply that was skipped.
    pub(super) async fn skipped_fits(&self, held: &HeldBytes) {
        held.fits_one(self.skipped.iter().map(|(_, size)| *size))
            .await;
    }

    /// Puts the skipped replies back for which there is room. They come again.
    pub(super) fn put_back(&mut self, held: &HeldBytes) {
        let fit = held.that_fit(self.skipped.iter().map(|(_, size)| *size));
        let mut fit = fit.into_iter();
        let outbox = &self.outbox;
        self.skipped.retain(|(tag, _)| {
            let fits = fit.next().unwrap_or_default();
            if fits {
                outbox.put(|out| put(&AMQPClass::Basic(reject(*tag)), CHANNEL, out));
            }
            !fits
        });
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
        // They come again by themselves.
        self.skipped.clear();
        self.begin();
        Ok(())
    }

    /// Says that the connection has ended.
    pub(super) fn end(&self) {
        self.is_usable.store(false, Ordering::Release);
        self.outbox.close();
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
