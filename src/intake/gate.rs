//! The gate: whether a route may poll now, and if not, why.
//!
//! The bridge takes no task from AWS that it can't pass on. So a route polls only under these conditions: the token
//! store takes records, the broker is connected and takes messages, the exchange and the queue exist, the queue has
//! room, no operator has paused the route, and (by default) the queue has a consumer. Where the broker tells how much the
//! consumers take, one of them must have room, or a task must be allowed to wait. This module checks the conditions. The
//! poller acts on them, and asks the route's credit before each poll.

use super::empty_queue::EmptyQueue;
use crate::{
    broker::{Durability, Link, Readiness, ReadinessError},
    context::Bridge,
    metrics::RouteReason,
    route::{Following, Route},
    util::{
        crash_point::{CrashPoint, crash_point},
        jittered,
    },
};
use futures_util::FutureExt;
use std::{fmt, mem::discriminant, sync::Arc, time::Duration};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Interval between two looks at a route's queue. A poll that is open when the last consumer leaves may still bring a
/// task.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval between two looks at a queue that can't be used until a person does something.
const OBSERVE_UNUSABLE_INTERVAL: Duration = Duration::from_secs(5);

/// Whether to poll, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// The route may poll.
    Open,
    /// The queue has not been looked at yet.
    #[default]
    Starting,
    /// The token store can't be reached or written.
    StoreAway(String),
    /// The broker can't be reached.
    BrokerAway(String),
    /// The broker takes no messages.
    BrokerBlocked(String),
    /// The queue, or the exchange, can't be used.
    QueueUnusable(String),
    /// Replies that can't be used can't be parked, so replies may wait behind them.
    ParkingUnusable(String),
    /// An operator has paused the route.
    Paused,
    /// Nobody consumes from the queue.
    NoConsumers,
    /// The consumers have as many tasks as they take at once.
    NoCredit,
    /// This number of messages waits in the queue, which is above the route's limit.
    QueueFull(u64),
    /// This number of tasks waits to be published again.
    Undelivered(usize),
}

impl Gate {
    /// Whether this state needs no person. Waiting for consumers or for room does not need one. A person wants a pause.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        match self {
            Self::Open
            | Self::Paused
            | Self::NoConsumers
            | Self::NoCredit
            | Self::QueueFull(_)
            | Self::Undelivered(_)
            | Self::BrokerBlocked(_) => true,
            Self::Starting
            | Self::StoreAway(_)
            | Self::BrokerAway(_)
            | Self::QueueUnusable(_)
            | Self::ParkingUnusable(_) => false,
        }
    }

    /// The reason as a label.
    #[must_use]
    pub fn reason(&self) -> RouteReason {
        match self {
            Self::Open => RouteReason::Polling,
            Self::Starting => RouteReason::Starting,
            Self::StoreAway(_) => RouteReason::StoreAway,
            Self::BrokerAway(_) => RouteReason::BrokerAway,
            Self::BrokerBlocked(_) => RouteReason::BrokerBlocked,
            Self::QueueUnusable(_) => RouteReason::QueueUnusable,
            Self::ParkingUnusable(_) => RouteReason::ParkingUnusable,
            Self::Paused => RouteReason::Paused,
            Self::NoConsumers => RouteReason::NoConsumers,
            Self::NoCredit => RouteReason::NoCredit,
            Self::QueueFull(_) => RouteReason::QueueFull,
            Self::Undelivered(_) => RouteReason::Undelivered,
        }
    }

    /// Whether the queue was looked for, and found or found unusable. A queue that is unusable stays so until a person does
    /// something.
    #[must_use]
    pub fn has_observed(&self) -> bool {
        !matches!(
            self,
            Self::Starting | Self::StoreAway(_) | Self::BrokerAway(_)
        )
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("polling"),
            Self::Starting => f.write_str("starting"),
            Self::StoreAway(why) => write!(f, "the token store is away: {why}"),
            Self::BrokerAway(why) => write!(f, "the broker is away: {why}"),
            Self::BrokerBlocked(why) => write!(f, "the broker takes no messages: {why}"),
            Self::QueueUnusable(why) | Self::ParkingUnusable(why) => f.write_str(why),
            Self::Paused => f.write_str("paused by an operator"),
            Self::NoConsumers => f.write_str("waiting for a consumer on the queue"),
            Self::NoCredit => f.write_str("waiting for a consumer that has room"),
            Self::QueueFull(ready) => write!(f, "{ready} messages wait in the queue"),
            Self::Undelivered(count) => write!(f, "{count} tasks wait to be published again"),
        }
    }
}

/// Decides whether the route may poll. The most important reason against it wins. `has_room`: whether the credit of the
/// queue allows a poll. Without credit, the number of messages that wait decides.
fn decide(
    route: &Route,
    link: &Link,
    undelivered: usize,
    readiness: &Readiness,
    has_room: bool,
) -> Gate {
    let &Readiness {
        ready, consumers, ..
    } = readiness;
    let too_many = readiness.credit.is_none() && ready > route.config.max_ready_without_credit();
    match link {
        Link::Away(why) => Gate::BrokerAway(why.clone()),
        Link::Blocked(why) => Gate::BrokerBlocked(why.clone()),
        Link::Up if route.is_paused() => Gate::Paused,
        Link::Up if undelivered > 0 => Gate::Undelivered(undelivered),
        Link::Up if too_many => Gate::QueueFull(ready),
        Link::Up if consumers == 0 && !route.config.poll_without_consumers => Gate::NoConsumers,
        Link::Up if !has_room => Gate::NoCredit,
        Link::Up => Gate::Open,
    }
}

/// Keeps a route's gate up to date until the loop is aborted, with the settings that the route has now.
pub async fn run(bridge: Arc<Bridge>, route: Arc<Route>, gate: Arc<watch::Sender<Gate>>) {
    let mut following = bridge.routes.follow(route);
    loop {
        let route = following.update();
        keep(&bridge, &route, &gate, &mut following).await;
    }
}

/// Keeps the gate up to date until the route changes.
async fn keep(
    bridge: &Bridge,
    route: &Arc<Route>,
    gate: &watch::Sender<Gate>,
    following: &mut Following,
) {
    let mut link = bridge.broker.link();
    let mut undelivered = route.undelivered();
    let mut paused = route.paused();
    let mut outdated = route.credit.outdated();
    let destination = &route.config.destination;
    let mut changed = bridge.broker.readiness_changed(destination);
    let mut empty = EmptyQueue::default();
    loop {
        crash_point(CrashPoint::GateLoop);
        outdated.mark_unchanged();
        paused.mark_unchanged();
        // The wait begins before the queue is observed, or a change between the two would be missed. What changed before
        // the wait is observed anyway.
        for _ in 0..2 {
            if (&mut changed).now_or_never().is_none() {
                break;
            }
            changed = bridge.broker.readiness_changed(destination);
        }
        let (now, look_again) =
            observe(bridge, route, &mut link, &mut undelivered, &mut empty).await;
        // What was observed says nothing about another queue.
        if following.has_changed() {
            return;
        }
        if empty == EmptyQueue::default() {
            route.set_missing(0);
        }
        let mut news = None;
        gate.send_if_modified(|was| {
            // A queue that is full is logged once, and not again for each further message.
            if discriminant(was) != discriminant(&now) {
                news = Some(was.clone());
            }
            let changed = *was != now;
            was.clone_from(&now);
            changed
        });
        if let Some(was) = news {
            announce(route, &was, &now);
        }
        // The next round checks everything again, whichever of these comes first.
        tokio::select! {
            () = tokio::time::sleep(jittered(look_again)) => {}
            _ = link.changed() => {}
            _ = undelivered.changed() => {}
            _ = outdated.changed() => {}
            _ = paused.changed() => {}
            () = following.changed() => return,
            () = &mut changed => changed = bridge.broker.readiness_changed(destination),
        }
    }
}

async fn observe(
    bridge: &Bridge,
    route: &Route,
    link: &mut watch::Receiver<Link>,
    undelivered: &mut watch::Receiver<usize>,
    empty: &mut EmptyQueue,
) -> (Gate, Duration) {
    let link = link.borrow_and_update().clone();
    let undelivered = *undelivered.borrow_and_update();
    // What can't be observed is not known to have stayed empty.
    let was_empty = std::mem::take(empty);
    if let Link::Away(why) = link {
        return (Gate::BrokerAway(why), OBSERVE_INTERVAL);
    }
    if let Some(why) = bridge.store.unavailable() {
        return (Gate::StoreAway(why), OBSERVE_INTERVAL);
    }
    // A broker without a queue of replies tells each sender instead.
    if bridge.broker.durability() == Durability::Durable
        && let Some(why) = bridge.broker.parking_problem()
    {
        return (Gate::ParkingUnusable(why), OBSERVE_INTERVAL);
    }
    let observation = route.credit.observe();
    match bridge.broker.readiness(&route.config.destination).await {
        Ok(readiness) => {
            let has_room = route.credit.observed(observation, &readiness);
            route.metrics.queue_seen(
                readiness.ready,
                readiness.consumers,
                readiness.credit.unwrap_or_default(),
            );
            *empty = was_empty.observed(bridge, route, &readiness);
            (
                decide(route, &link, undelivered, &readiness, has_room),
                OBSERVE_INTERVAL,
            )
        }
        Err(ReadinessError::Away(why)) => (Gate::BrokerAway(why), OBSERVE_INTERVAL),
        Err(ReadinessError::Unusable(why)) => (Gate::QueueUnusable(why), OBSERVE_UNUSABLE_INTERVAL),
    }
}

fn announce(route: &Route, was: &Gate, gate: &Gate) {
    let (route, to) = (route.name(), &route.config.destination);
    match gate {
        // A worker that does one task at a time has room and no room in turn.
        Gate::NoCredit if *was == Gate::Open => debug!(route, %to, why = %gate, "not polling"),
        Gate::Open if *was == Gate::NoCredit => debug!(route, %to, "polling"),
        Gate::Open => info!(route, %to, "polling"),
        Gate::QueueUnusable(error) | Gate::ParkingUnusable(error) => {
            warn!(route, %to, %error, "not polling")
        }
        Gate::StoreAway(_) => warn!(route, %to, why = %gate, "not polling"),
        gate => info!(route, %to, why = %gate, "not polling"),
    }
}
