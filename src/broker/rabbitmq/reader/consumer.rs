//! The consumers of replies: how many they take at once, what was skipped because memory was short, and their channel.
//!
//! A reply without room stays unacknowledged and without its body. When there is room, it is put back, and comes again. Others are
//! read meanwhile: a skipped reply keeps its place in the prefetch, so another consumer begins before the places are used up.
//!
//! No consumer is cancelled. In RabbitMQ 3.10, a cancel while messages are on their way to the consumer stops the channel for ever:
//! it delivers and answers nothing more, and keeps its messages even after the connection has ended.

use super::{
    held::{HeldBytes, Need},
    receipt::{CHANNEL, put, reject},
};
use crate::broker::{
    amqp::{method::short_string, outbox::Outbox},
    rabbitmq::options::{MARGIN, Options},
};
use amq_protocol::{
    protocol::{AMQPClass, basic, channel},
    types::FieldTable,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Minimum time between two errors of the channel after which it is opened again. Errors that come faster end the connection.
const REOPEN_INTERVAL: Duration = Duration::from_secs(10);

/// Number of skipped replies above which no further places are added. Each takes some 24 bytes here, and its body stays at the broker.
const MAX_SKIPPED: usize = u16::MAX as usize;

/// Minimum interval between two lines about skipped replies.
const SKIPPED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum wait for replies that were put back. Another replica may get them.
const COMING_TIMEOUT: Duration = Duration::from_secs(1);

/// RabbitMQ's code for a delivery that was not acknowledged in time, among others.
const PRECONDITION_FAILED: u16 = 406;

/// See the module.
pub(super) struct Consumer {
    queue: String,
    /// Maximum number of unacknowledged replies, but for those that are skipped.
    prefetch: u16,
    /// The prefetch of all consumers of the channel together.
    places: usize,
    /// The number of the newest consumer.
    number: u64,
    /// The replies without room, with their tags.
    skipped: BTreeSet<(Need, u64)>,
    skipped_logged: Option<Instant>,
    /// The number of replies that were put back and have not come yet. The room that was found for them is theirs.
    coming: usize,
    coming_until: Instant,
    outbox: Arc<Outbox>,
    /// Whether the channel is open. The receipts of its deliveries share it.
    is_usable: Arc<AtomicBool>,
    reopened: Option<Instant>,
    /// Whether the channel is being opened again.
    is_opening: bool,
}

impl Consumer {
    /// The consumer that the handshake has started.
    pub(super) fn started(options: &Options, outbox: Arc<Outbox>) -> Self {
        Self {
            queue: options.reply_queue.clone(),
            prefetch: options.prefetch,
            places: options.prefetch.into(),
            number: 0,
            skipped: BTreeSet::new(),
            skipped_logged: None,
            coming: 0,
            coming_until: Instant::now(),
            outbox,
            is_usable: Arc::new(AtomicBool::new(true)),
            reopened: None,
            is_opening: false,
        }
    }

    pub(super) fn is_usable(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_usable)
    }

    /// Takes so many replies at once, if that is more than before.
    pub(super) fn widen(&mut self, prefetch: u16) {
        self.prefetch = self.prefetch.max(prefetch);
        self.keep_places();
    }

    /// Begins a consumer with this prefetch. RabbitMQ counts for each consumer alone.
    fn begin(&mut self, prefetch: u16) {
        self.number += 1;
        self.places += usize::from(prefetch);
        self.put(&qos(prefetch));
        self.put(&consume(&self.queue, self.number));
    }

    /// Notes a reply without room.
    pub(super) fn skip(&mut self, tag: u64, need: Need) {
        self.skipped.insert((need, tag));
        self.keep_places();
        let now = Instant::now();
        let recently = |logged: Instant| now.duration_since(logged) < SKIPPED_LOG_INTERVAL;
        if !self.skipped_logged.is_some_and(recently) {
            self.skipped_logged = Some(now);
            tracing::warn!(
                skipped = self.skipped.len(),
                "no memory for more replies until AWS accepts outcomes or replies are parked; the broker keeps them"
            );
        }
    }

    /// Begins another consumer if the places are short, with half as many again, so that few are needed.
    fn keep_places(&mut self) {
        // Half of the margin may be skipped before.
        let skipped = self.skipped.len().min(MAX_SKIPPED);
        let skipped = skipped.saturating_sub(usize::from(MARGIN / 2));
        let wanted = usize::from(self.prefetch) + skipped;
        if wanted > self.places {
            let more = (wanted - self.places).max(self.places / 2);
            self.begin(u16::try_from(more).unwrap_or(u16::MAX));
        }
    }

    pub(super) fn has_skipped(&self) -> bool {
        !self.skipped.is_empty()
    }

    /// Waits until there is room for a reply that was skipped, beside those that were put back before and still come.
    pub(super) async fn skipped_fits(&self, held: &HeldBytes) {
        if self.coming > 0 {
            sleep_until(self.coming_until).await;
        }
        // Where there is room for one that is not large, there is room for the first. The last one may be large.
        let ends = [self.skipped.first(), self.skipped.last()];
        held.fits_one(ends.into_iter().flatten().map(|(need, _)| *need))
            .await;
    }

    /// Puts the skipped replies back for which there is room. They come again.
    pub(super) fn put_back(&mut self, held: &HeldBytes) {
        let before = self.skipped.len();
        let mut after = held.now();
        while let Some(&(need, tag)) = self.skipped.first()
            && after.add(need)
        {
            self.skipped.pop_first();
            self.put(&AMQPClass::Basic(reject(tag)));
        }
        if let Some(&(need, tag)) = self.skipped.last()
            && after.add(need)
        {
            self.skipped.pop_last();
            self.put(&AMQPClass::Basic(reject(tag)));
        }
        self.coming = before - self.skipped.len();
        self.coming_until = Instant::now() + COMING_TIMEOUT;
    }

    /// Notes that a reply has come.
    pub(super) fn came(&mut self) {
        self.coming = self.coming.saturating_sub(1);
    }

    /// Opens the channel again, after an error that another channel need not have. RabbitMQ may say twice that a delivery was not
    /// acknowledged in time. What it says before it has opened the channel again is about the one before.
    pub(super) fn reopen(&mut self, code: u16, why: &str) -> Result<(), String> {
        if self.is_opening {
            return Ok(());
        }
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
        self.is_opening = true;
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
        self.coming = 0;
        self.places = 0;
        self.begin(self.prefetch);
        Ok(())
    }

    /// Notes that the channel is open again.
    pub(super) fn opened(&mut self) {
        self.is_opening = false;
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
