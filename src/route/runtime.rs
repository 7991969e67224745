//! A route at run time: its settings, its source, its slots, and how it fares.

use super::{
    settings::RouteConfig,
    slots::{Slot, Slots},
};
use crate::{
    broker::Destination,
    metrics::RouteMetrics,
    source::Source,
    task::{HeaderValue, Task},
    util::log_limiter::LogLimiter,
};
use parking_lot::Mutex;
use std::{borrow::Cow, fmt, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// One route. Shared by its pollers and by every task in flight.
pub struct Route {
    /// What was configured.
    pub config: RouteConfig,
    /// Where tasks come from and results go to.
    pub source: Arc<dyn Source>,
    /// The bound on what is in flight.
    pub slots: Slots,
    /// The counters, already bound to this route's labels.
    pub metrics: RouteMetrics,
    /// The limit on log lines about what fails all the time.
    pub log_limiter: LogLimiter,
    /// The headers that all its tasks share.
    headers: Vec<(&'static str, HeaderValue)>,
    /// Why AWS will not have us, while it will not, and when it last said so.
    refused: Mutex<Option<(String, Instant)>>,
    /// How many tasks are being published for the second time or more.
    undelivered: watch::Sender<usize>,
    /// The bound on what a crash would lose: open polls and tasks that are not recorded yet are at most `pollers.max`.
    unpersisted: Arc<Semaphore>,
}

/// The right to have one open poll, or the task that it brought until that is recorded.
pub type UnpersistedPermit = OwnedSemaphorePermit;

impl Route {
    /// A route with all slots free.
    #[must_use]
    pub fn new(config: RouteConfig, source: Arc<dyn Source>, metrics: RouteMetrics) -> Self {
        let text = |text: &str| HeaderValue::Text(text.to_owned());
        let mut headers = source.headers();
        headers.push(("route", text(&config.name)));
        headers.push(("source", text(source.kind())));
        Self {
            slots: Slots::new(config.max_in_flight),
            source,
            metrics,
            log_limiter: LogLimiter::default(),
            headers,
            refused: Mutex::default(),
            undelivered: watch::channel(0).0,
            unpersisted: Arc::new(Semaphore::new(config.pollers.max)),
            config,
        }
    }

    /// The name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The headers that all its tasks share.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, HeaderValue)] {
        &self.headers
    }

    /// The routing key of a task's message, which may be longer than AMQP takes.
    #[must_use]
    pub fn routing_key(&self, task: &Task) -> Cow<'_, str> {
        match &self.config.destination {
            Destination::Queue(queue) => Cow::Borrowed(&queue.name),
            Destination::Exchange { key, .. } => Cow::Owned(key.render(|placeholder| {
                let Some(header) = placeholder.header() else {
                    return &task.activity;
                };
                let shared = || self.headers.iter().find(|(name, _)| *name == header);
                match task.header(header).or_else(|| Some(&shared()?.1)) {
                    Some(HeaderValue::Text(text)) => text,
                    Some(HeaderValue::Integer(_)) | None => "",
                }
            })),
        }
    }

    /// Notes that AWS refuses this route. True where that is news.
    pub fn set_refused(&self, why: String) -> bool {
        let mut refused = self.refused.lock();
        let news = refused.as_ref().is_none_or(|(known, _)| *known != why);
        *refused = Some((why, Instant::now()));
        news
    }

    /// Notes that AWS did not refuse a poll that was begun at `begun`. One that was let in before the refusal, and held
    /// until now, says nothing of it.
    pub fn let_in(&self, begun: Instant) {
        let mut refused = self.refused.lock();
        if refused.as_ref().is_some_and(|(_, at)| *at < begun) {
            *refused = None;
        }
    }

    /// Why AWS refuses this route, if it does.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        let refused = self.refused.lock();
        refused.as_ref().map(|(why, _)| why.clone())
    }

    /// Waits until there is room for another poll, and for the task that it may bring.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the place in the line.
    pub async fn room(&self) -> (Slot, UnpersistedPermit) {
        let slot = self.slots.take().await;
        let unpersisted = Arc::clone(&self.unpersisted).acquire_owned().await;
        (slot, unpersisted.expect("the semaphore is never closed"))
    }

    /// Marks a task as one that the broker would not take, until the mark is dropped.
    pub fn mark_undelivered(self: &Arc<Self>) -> Undelivered {
        self.undelivered.send_if_modified(|count| {
            *count += 1;
            *count == 1
        });
        Undelivered(Arc::clone(self))
    }

    /// How many tasks are so marked; announced when the first is and when none is any more.
    #[must_use]
    pub fn undelivered(&self) -> watch::Receiver<usize> {
        self.undelivered.subscribe()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({})", self.name())
    }
}

/// While it lives, a task waits to be published again, and the route takes no more.
#[derive(Debug)]
pub struct Undelivered(Arc<Route>);

impl Drop for Undelivered {
    fn drop(&mut self) {
        self.0.undelivered.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }
}
