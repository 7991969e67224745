//! A route at run time: its settings, its source, its slots and its health.

use super::{
    credit::{QueueCredits, RouteCredit},
    early_acks::EarlyAcks,
    open_polls::OpenPolls,
    pending_tasks::{PendingAtAws, PendingCache},
    settings::RouteConfig,
    slots::{Slot, Slots},
    users::Users,
};
use crate::{
    broker::Destination,
    metrics::RouteMetrics,
    source::{Source, rate_limit::RouteKey},
    store::OwnRoute,
    task::{HeaderValue, Task},
    util::{Label, log_limiter::LogLimiter},
};
use parking_lot::Mutex;
use std::{borrow::Cow, fmt, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// Maximum number of open polls and unrecorded tasks together, for each of `pollers.max`. With 1, the polls wait for the
/// disk, and `file` reached two thirds of the throughput of `memory`; with 4, more than four fifths (ADR 9).
const UNPERSISTED_PER_POLLER: usize = 4;

/// One route. Its pollers and all its tasks in flight share it.
///
/// A reload of the configuration replaces it by a route with other settings ([`Route::changed`]). A poll and its task keep the route
/// with which the poll began. The slots, the open polls and the health are shared by all routes of a name, one after the other: a
/// clone shares everything.
#[derive(Clone)]
pub struct Route {
    /// The route's settings.
    pub config: RouteConfig,
    /// Where tasks come from and outcomes go.
    pub source: Arc<dyn Source>,
    /// The bound on open polls and tasks in flight.
    pub slots: Slots,
    /// The open polls, and how the last ones ended.
    pub open_polls: Arc<OpenPolls>,
    /// What the route may poll by the credit of its queue.
    pub credit: RouteCredit,
    /// The route's key at the rate limiter of its source.
    pub rate_key: RouteKey,
    /// The route's counters, bound to its labels.
    pub metrics: Arc<RouteMetrics>,
    /// The limit on log lines about repeated failures.
    pub log_limiter: Arc<LogLimiter>,
    /// What the token store needs of the route.
    own: OwnRoute,
    /// The headers that all tasks of the route share.
    headers: Vec<(&'static str, HeaderValue)>,
    /// How many tasks wait at AWS.
    pending: Arc<PendingCache>,
    /// Why AWS refuses the route, and when it last did; `None` if it does not.
    refused: Arc<Mutex<Option<(String, Instant)>>>,
    /// Whether workers have acknowledged before they had finished.
    early_acks: Arc<Mutex<Option<EarlyAcks>>>,
    /// The number of tasks that wait to be published again.
    undelivered: watch::Sender<usize>,
    /// Whether an operator has paused the route.
    paused: watch::Sender<bool>,
    /// The bound on what a crash can lose: open polls and tasks that are not recorded yet.
    unpersisted: Slots,
    /// Whether the route is no longer in the configuration. Then it does not poll, and ends with its last task.
    is_leaving: bool,
    users_of_queue: Users,
    users_of_destination: Users,
}

/// The right to have one open poll, and then the task that it brought until its record is in the store.
#[derive(Debug)]
pub struct UnpersistedPermit {
    _one: Slot,
}

impl Route {
    /// A route with all slots free. Routes to one queue share its credit.
    #[must_use]
    pub fn new(
        config: RouteConfig,
        source: Arc<dyn Source>,
        metrics: RouteMetrics,
        credits: &mut QueueCredits,
    ) -> Self {
        Self {
            slots: Slots::new(config.max_in_flight),
            open_polls: Arc::default(),
            credit: RouteCredit::new(credits, &config),
            own: OwnRoute {
                name: config.name.clone(),
                source: source.kind(),
            },
            headers: headers(&config, &*source),
            source,
            rate_key: RouteKey::unique(),
            metrics: Arc::new(metrics),
            log_limiter: Arc::default(),
            pending: Arc::default(),
            refused: Arc::default(),
            early_acks: Arc::default(),
            undelivered: watch::Sender::new(0),
            paused: watch::Sender::new(false),
            unpersisted: Slots::new(unpersisted(&config)),
            is_leaving: false,
            users_of_queue: Users::default(),
            users_of_destination: Users::default(),
            config,
        }
    }

    /// This route with other settings, of the same service. The number of slots changes with [`Route::resize`].
    #[must_use]
    pub fn changed(
        &self,
        config: RouteConfig,
        source: Arc<dyn Source>,
        credits: &mut QueueCredits,
    ) -> Self {
        let (refused, pending) = match config.source == self.config.source {
            true => (Arc::clone(&self.refused), Arc::clone(&self.pending)),
            false => Default::default(),
        };
        let early_acks = match config.task_queue() == self.config.task_queue() {
            true => Arc::clone(&self.early_acks),
            false => Arc::default(),
        };
        let users = |same: bool, users: &Users| match same {
            true => users.clone(),
            false => Users::default(),
        };
        let queue_of = |config: &RouteConfig| config.destination.queue().map(|q| q.name.clone());
        let same_queue = queue_of(&config) == queue_of(&self.config);
        let same_destination = config.destination == self.config.destination;
        Self {
            credit: self.credit.changed(credits, &config),
            headers: headers(&config, &*source),
            source,
            pending,
            refused,
            early_acks,
            users_of_queue: users(same_queue, &self.users_of_queue),
            users_of_destination: users(same_destination, &self.users_of_destination),
            is_leaving: false,
            config,
            ..self.clone()
        }
    }

    /// This route, which is no longer in the configuration.
    #[must_use]
    pub fn leaving(&self) -> Self {
        Self {
            is_leaving: true,
            ..self.clone()
        }
    }

    /// Whether the route is no longer in the configuration. Then it does not poll, and ends with its last task.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Waits until no poll and no task has a route of this name with this queue any more. To be called when another one takes its place.
    pub fn queue_unused(&self) -> impl Future<Output = ()> + Send + use<> {
        self.users_of_queue.gone()
    }

    /// The same for this destination, its settings included.
    pub fn destination_unused(&self) -> impl Future<Output = ()> + Send + use<> {
        self.users_of_destination.gone()
    }

    /// Gives the routes of this name the bounds of these settings.
    pub fn resize(&self) {
        self.slots.resize(self.config.max_in_flight);
        self.unpersisted.resize(unpersisted(&self.config));
    }

    /// The route's name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the token store needs of the route.
    #[must_use]
    pub fn own(&self) -> &OwnRoute {
        &self.own
    }

    /// The headers that all tasks of the route share.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, HeaderValue)] {
        &self.headers
    }

    /// Whether the route's tasks go to this queue, or, by an exchange, perhaps to it.
    #[must_use]
    pub fn uses_queue(&self, queue: &str) -> bool {
        let own = self.config.destination.queue();
        own.is_some_and(|own| own.name == queue)
    }

    /// The routing key of a task's message. It may be longer than AMQP allows.
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

    /// Notes that AWS refuses this route. True if it did not refuse it before, or for another reason.
    pub fn set_refused(&self, why: String) -> bool {
        let mut refused = self.refused.lock();
        let changed = refused.as_ref().is_none_or(|(known, _)| *known != why);
        *refused = Some((why, Instant::now()));
        changed
    }

    /// Notes that AWS accepted a poll that began at `begun`. A poll that began before the last refusal changes nothing.
    pub fn let_in(&self, begun: Instant) {
        let mut refused = self.refused.lock();
        if refused.as_ref().is_some_and(|(_, at)| *at < begun) {
            *refused = None;
        }
    }

    /// Why AWS refuses this route; `None` if it does not.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        let refused = self.refused.lock();
        refused.as_ref().map(|(why, _)| why.clone())
    }

    /// Asks AWS how many tasks wait there, if it was not asked lately and the settings allow it. Takes 2 s at most. Dropping the future loses the answer.
    pub async fn ask_for_pending(&self) {
        if !self.config.count_pending {
            return;
        }
        let polled = || self.metrics.tasks_polled();
        self.pending.refresh(&*self.source, polled).await;
    }

    /// When AWS may be asked again; `None` if it was not asked yet.
    #[must_use]
    pub fn pending_not_before(&self) -> Option<Instant> {
        self.pending.not_before()
    }

    /// How many tasks wait at AWS, by its last answer.
    #[must_use]
    pub fn pending_at_aws(&self) -> PendingAtAws {
        match self.config.count_pending {
            true => self.pending.now(self.metrics.tasks_polled()),
            false => PendingAtAws::Unknown("count_pending is false".to_owned()),
        }
    }

    /// Notes that a worker has acknowledged a task before it had finished. `releases`: acknowledgements settle nothing from
    /// here on.
    pub fn note_early_ack(&self, releases: bool) {
        let mut early_acks = self.early_acks.lock();
        let tasks = early_acks.map_or(0, |known| known.tasks) + 1;
        *early_acks = Some(EarlyAcks { tasks, releases });
    }

    /// What is known of workers that acknowledge before they have finished; `None` if there are none.
    #[must_use]
    pub fn early_acks(&self) -> Option<EarlyAcks> {
        *self.early_acks.lock()
    }

    /// Notes how many tasks wait although their queue has long been empty and without consumers.
    pub fn set_missing(&self, tasks: usize) {
        let tasks = i64::try_from(tasks).unwrap_or(i64::MAX);
        self.metrics.missing.set(tasks);
    }

    /// The number of tasks that wait although their queue has long been empty and without consumers.
    #[must_use]
    pub fn missing(&self) -> i64 {
        self.metrics.missing.get()
    }

    /// Pauses the route, or lets it poll again. True if that changes anything. A paused route begins no polls. Its tasks in flight go on.
    pub fn set_paused(&self, pauses: bool) -> bool {
        let paused = &self.paused;
        paused.send_if_modified(|paused| std::mem::replace(paused, pauses) != pauses)
    }

    /// Whether an operator has paused the route.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Whether an operator has paused the route, and each change of it.
    #[must_use]
    pub fn paused(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    /// Waits for a slot and for room for one more unrecorded task. A poll needs both.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses only its place in the line.
    pub async fn room(&self) -> (Slot, UnpersistedPermit) {
        let slot = self.slots.acquire().await;
        let _one = self.unpersisted.acquire().await;
        (slot, UnpersistedPermit { _one })
    }

    /// Marks a task as one that waits to be published again, until the mark is dropped.
    pub fn mark_undelivered(self: &Arc<Self>) -> Undelivered {
        self.undelivered.send_if_modified(|count| {
            *count += 1;
            *count == 1
        });
        Undelivered(Arc::clone(self))
    }

    /// The number of tasks that wait to be published again. It is announced when it becomes 1 from 0, and when it becomes 0.
    #[must_use]
    pub fn undelivered(&self) -> watch::Receiver<usize> {
        self.undelivered.subscribe()
    }
}

/// The headers that all tasks of a route share.
fn headers(config: &RouteConfig, source: &dyn Source) -> Vec<(&'static str, HeaderValue)> {
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    let mut headers = source.headers();
    headers.push(("route", text(&config.name)));
    headers.push(("source", text(source.kind().label())));
    headers
}

/// Maximum number of open polls and unrecorded tasks together.
fn unpersisted(config: &RouteConfig) -> usize {
    UNPERSISTED_PER_POLLER * config.pollers.max
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({})", self.name())
    }
}

/// The mark of a task that waits to be published again. The route does not poll while there is one.
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
