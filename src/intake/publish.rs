//! Publication: from the poll, or from the store, to the broker's confirm. It records the task, and then publishes it
//! until the broker has it.
//!
//! This module also fails a task back to AWS if its time for that is up, or if its publication panics.

use super::timeouts;
use crate::{
    broker::{Destination, Durability, Link, PublishError, TaskMessage},
    context::Bridge,
    inflight::{
        Standing, TaskHandle,
        lifecycle::{Command, Event},
    },
    metrics::PublishOutcome,
    route::{Route, Slot, UnpersistedPermit},
    settle,
    task::{HeaderValue, Outcome, OwnFailure, Task, TaskId, Timeouts, Traceparent, unix_millis},
    trace::Span,
    util::{
        Backoff, Label,
        crash_point::{CrashPoint, crash_point, crash_point_over},
        log_limiter::LogTopic,
        supervise::{catch, catch_async},
    },
};
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, error, warn};

/// Maximum length of a routing key, in bytes: that of AMQP's short strings.
const MAX_ROUTING_KEY: usize = 255;

/// Publishes a task that was just polled, or fails it back to AWS. The task takes the slot along. `unpersisted` is
/// given back as soon as a crash can't lose the task any more.
pub async fn fresh(
    bridge: Arc<Bridge>,
    route: Arc<Route>,
    mut task: Task,
    slot: Slot,
    unpersisted: UnpersistedPermit,
) {
    let traced = catch(|| {
        crash_point_over(CrashPoint::AfterPoll, task.input.text().as_bytes());
        trace(&bridge, &route, &task)
    });
    let panicked = traced.is_err();
    let (span, header) = traced.unwrap_or_else(|_| (Span::none(), None));
    task.headers.extend(header);
    bridge
        .inflight
        .enter(&task, Arc::clone(&route), slot, span.clone());
    debug!(route = route.name(), task = %task.id, activity = task.activity, "polled");
    if panicked {
        return fail_panicked(&bridge, &route, task.id).await;
    }
    if let Some(why) = route.source.oversize(&task) {
        return fail_oversize(&bridge, task.id, why);
    }
    let until = Instant::now() + route.config.publish_within;
    let publication = Publication {
        bridge,
        route,
        until,
    };
    publish(publication, task, Kind::Fresh(span, unpersisted)).await;
}

/// Begins the task's span. The header holds the context of this span, or that of the input if there is no span.
fn trace(
    bridge: &Bridge,
    route: &Route,
    task: &Task,
) -> (Span, Option<(Cow<'static, str>, HeaderValue)>) {
    let span = bridge.tracer.task(route, task);
    let context = span.traceparent().or(task.input.traceparent());
    let header =
        |context: Traceparent| ("traceparent".into(), HeaderValue::Text(context.to_string()));
    let header = context.map(header);
    (span, header)
}

/// Publishes a task again that is in the store and in the table of tasks in flight. Returns when the task is confirmed or has
/// ended, or when its time is up.
pub async fn recovered(publication: Publication, task: Task, cause: Cause) {
    let until = publication.until;
    // After `until`, a publish that is still under way is not awaited here.
    let supervisor = publication.bridge.supervisor.clone();
    let publishing = supervisor.spawn(
        "a publication",
        publish(publication, task, Kind::Recovered(cause)),
    );
    drop(timeout_at(until, publishing).await);
}

/// What a publication needs.
pub struct Publication {
    /// The state that all parts share.
    pub bridge: Arc<Bridge>,
    /// The route that polled the task.
    pub route: Arc<Route>,
    /// When the task is failed back to AWS, unless the broker has it.
    pub until: Instant,
}

/// Whether a task is fresh from a poll or recovered from the store.
enum Kind {
    /// Fresh from a poll, with its span, and with the permit that is held until the task is recorded.
    Fresh(Span, UnpersistedPermit),
    /// Recovered from the store.
    Recovered(Cause),
}

/// Why a task is published again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The broker had not confirmed its message.
    Unconfirmed,
    /// The broker has lost its message.
    Lost,
}

/// Publishes a task. If that panics, the task is failed back to AWS. Otherwise a process that recovers the task would
/// panic again.
async fn publish(publication: Publication, task: Task, kind: Kind) {
    let id = task.id;
    let bridge = Arc::clone(&publication.bridge);
    let route = Arc::clone(&publication.route);
    if catch_async(publish_until(publication, task, kind))
        .await
        .is_err()
    {
        fail_panicked(&bridge, &route, id).await;
    }
}

async fn publish_until(publication: Publication, mut task: Task, kind: Kind) {
    let id = task.id;
    let Publication {
        bridge,
        route,
        until,
    } = publication;
    let last_error = LastError::default();
    let carried = async {
        let redelivered = matches!(kind, Kind::Recovered(_));
        let is_lost = matches!(kind, Kind::Recovered(Cause::Lost));
        let span = match kind {
            Kind::Fresh(span, unpersisted) => {
                let recording = span.child("record");
                let recorded = record(&bridge, &route, &task, &last_error).await;
                drop(unpersisted);
                if !recorded {
                    return;
                }
                recording.ended("recorded");
                span
            }
            Kind::Recovered(_) => Span::none(),
        };
        if is_lost {
            // AWS was asked before the first publish, perhaps by an earlier process.
            task.timeouts = bridge.inflight.timeouts(id).unwrap_or(task.timeouts);
            timeouts::tell(&mut task);
        } else {
            timeouts::discover(&bridge, &route, &mut task).await;
        }
        let publishing = span.child("publish");
        if publish_until_confirmed(&bridge, &route, &task, redelivered, &last_error).await {
            publishing.ended(PublishOutcome::Confirmed.label());
        }
    };
    tokio::pin!(carried);
    if timeout_at(until, &mut carried).await.is_ok() {
        return;
    }
    // A publish that is still under way goes on: the broker may have the message, and then a reply may come.
    let failing = fail_undelivered(&bridge, &route, id, last_error.newest());
    tokio::join!(failing, carried);
}

/// Fails a task back to AWS because its time is up, unless it was published or has ended.
pub async fn fail_undelivered(bridge: &Arc<Bridge>, route: &Route, id: TaskId, last_error: String) {
    if let Some(handle) = give_up_unpublished(bridge, id).await {
        let secs = route.config.publish_within.as_secs();
        let to = &route.config.destination;
        let reason = format!("activity-bridge could not hand it to {to} within {secs} s");
        warn!(route = route.name(), task = %id, last_error, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed_with(OwnFailure::Undelivered, reason, last_error);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// Ends a task, unless it was published or has ended, or a worker has begun after its message was lost.
async fn give_up_unpublished(bridge: &Bridge, id: TaskId) -> Option<TaskHandle> {
    bridge.ownership.wait().await;
    if bridge.inflight.awaits_publish(id) {
        return bridge.inflight.give_up(id);
    }
    note_received(bridge, id).await;
    None
}

/// Fails a task back to AWS because the broker has lost its message and the store has no copy.
pub(super) async fn fail_lost(bridge: &Arc<Bridge>, route: &Route, id: TaskId) {
    if let Some(handle) = give_up_unpublished(bridge, id).await {
        let to = &route.config.destination;
        let reason =
            format!("its message was lost with {to}, and activity-bridge has no copy of it");
        warn!(route = route.name(), task = %id, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed(OwnFailure::Undelivered, reason);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// Fails a task back to AWS because its publication panicked, unless the broker has it.
pub(super) async fn fail_panicked(bridge: &Arc<Bridge>, route: &Route, id: TaskId) {
    error!(route = route.name(), task = %id, "publishing a task panicked; this is a bug of activity-bridge");
    if let Some(handle) = give_up_unpublished(bridge, id).await {
        let reason = "publishing it panicked; this is a bug of activity-bridge";
        spawn_settlement(
            bridge,
            handle,
            Outcome::failed(OwnFailure::Undelivered, reason),
        );
    }
}

/// Settles a task. The caller need not wait for the end of that.
pub(super) fn spawn_settlement(
    bridge: &Arc<Bridge>,
    handle: TaskHandle,
    outcome: Outcome,
) -> JoinHandle<()> {
    let settling = settle::settle(Arc::clone(bridge), handle, outcome);
    bridge.supervisor.spawn("a settlement", settling)
}

/// The last error of a publication. It becomes part of the reason if the task is failed back.
#[derive(Debug, Default)]
struct LastError(Mutex<String>);

impl LastError {
    fn note(&self, error: &impl ToString) {
        *self.0.lock() = error.to_string();
    }

    fn newest(&self) -> String {
        self.0.lock().clone()
    }
}

/// Inserts the record into the store. This comes before the publish, because a reply may come before the confirm.
/// Returns false if the task ended before it was recorded, or if another process owns it now.
async fn record(bridge: &Bridge, route: &Route, task: &Task, last_error: &LastError) -> bool {
    let id = task.id;
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let recorded = loop {
        let Err(error) = bridge.store.insert(route.own(), task).await else {
            break bridge.inflight.on_recorded(id);
        };
        if route.log_limiter.allows(LogTopic::Records) {
            warn!(route = route.name(), task = %id, %error, "a task could not be recorded; it waits and is tried again");
        }
        last_error.note(&error);
        sleep(backoff.next_wait()).await;
        if !bridge.inflight.awaits_publish(id) {
            break false;
        }
    };
    if recorded {
        debug!(task = %id, "recorded");
        crash_point_over(CrashPoint::AfterInsert, task.input.text().as_bytes());
        return true;
    }
    // An insert without an answer may have reached the store later, and after the removal of the record. If the task
    // has ended, the record is removed again. If another process owns the task, the record stays.
    if let Standing::Ended = bridge.inflight.standing(id) {
        settle::remove_record(bridge, id).await;
    }
    false
}

/// Publishes until the broker has the message, until a reply makes that unnecessary, or until the task has ended.
/// Returns true if the broker confirmed the message.
async fn publish_until_confirmed(
    bridge: &Arc<Bridge>,
    route: &Arc<Route>,
    task: &Task,
    redelivered: bool,
    last_error: &LastError,
) -> bool {
    let destination = &route.config.destination;
    let routing_key = route.routing_key(task);
    if routing_key.len() > MAX_ROUTING_KEY {
        fail_unroutable(bridge, task.id, &routing_key);
        return false;
    }
    let body = body(bridge.broker.reply_to(), route, task);
    let mut message = message(route, task, &routing_key, &body);
    message.redelivered = redelivered;
    message.failed_deliveries = bridge.inflight.failed_deliveries(task.id);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut undelivered = None;
    let mut link = bridge.broker.link();
    let mut confirmed = false;
    while bridge.inflight.awaits_publish(task.id) {
        message.expiration_ms = expiration_ms(route, task, SystemTime::now());
        let begun = Instant::now();
        let published = publish_once(bridge, &message, begun).await;
        let command = match &published {
            Ok(()) => bridge.inflight.on_confirmed(task.id, begun),
            Err(_) => bridge.inflight.on_publish(task.id, Event::PublishFailed),
        };
        match &published {
            Ok(()) => route.metrics.published(PublishOutcome::Confirmed),
            Err(error) => route.metrics.published(error.kind()),
        }
        let Err(error) = published else {
            confirmed = true;
            break;
        };
        if command != Command::PublishAgain {
            break;
        }
        if !stops_polling(destination, &error) {
            undelivered = None;
        } else if undelivered.is_none() {
            undelivered = Some(route.mark_undelivered());
        }
        debug!(route = route.name(), task = %task.id, %error, "not published; trying again");
        last_error.note(&error);
        sleep(backoff.next_wait()).await;
        // An error means that the broker was closed. The next attempt finds that too.
        drop(link.wait_for(Link::is_connected).await);
    }
    drop(undelivered);
    if confirmed {
        note_confirm(bridge, task.id, task.timeouts).await;
    } else {
        note_received(bridge, task.id).await;
    }
    confirmed
}

/// Publishes a message. A confirm does not count if the queue was lost meanwhile.
async fn publish_once(
    bridge: &Bridge,
    message: &TaskMessage<'_>,
    begun: Instant,
) -> Result<(), PublishError> {
    bridge.broker.publish(message).await?;
    let queue = message.destination.queue();
    match queue.is_some_and(|queue| bridge.lost_queues.is_lost_since(&queue.name, begun)) {
        false => Ok(()),
        true => {
            let why = "its queue was lost meanwhile";
            Err(PublishError::Unconfirmed(why.to_owned()))
        }
    }
}

async fn note_confirm(bridge: &Bridge, id: TaskId, timeouts: Timeouts) {
    crash_point(CrashPoint::BeforeConfirm);
    // More may have been learnt during the publication.
    let timeouts = bridge.inflight.timeouts(id).unwrap_or(timeouts);
    if bridge.broker.durability() == Durability::Durable
        && let Err(error) = bridge.store.confirmed(id, timeouts).await
    {
        // At worst, the message is published once more after a restart, with the same id.
        debug!(task = %id, %error, "could not note the confirm");
    }
    crash_point(CrashPoint::AfterConfirm);
}

/// Notes in the store that nothing is to be published of a task whose loss was noted, if a worker had got the message before the
/// loss. Otherwise the next process would publish it again.
pub(super) async fn note_received(bridge: &Bridge, id: TaskId) {
    if let Some(timeouts) = bridge.inflight.received_before_loss(id) {
        note_confirm(bridge, id, timeouts).await;
    }
}

/// Whether the route stops polling until this task is published. At an operator's exchange, a routing key that no queue
/// takes says nothing about other routing keys.
fn stops_polling(destination: &Destination, error: &PublishError) -> bool {
    match (destination, error) {
        (Destination::Queue(_), _) => true,
        (Destination::Exchange { .. }, PublishError::Unroutable(_)) => false,
        (
            Destination::Exchange { .. },
            PublishError::Away
            | PublishError::Nacked(_)
            | PublishError::Refused(_)
            | PublishError::Unconfirmed(_),
        ) => true,
    }
}

/// How long the message may wait in its queue: until the task's deadline, if the route is configured so. The minimum is
/// 1 ms, because a message with 0 ms goes only to a consumer that is idle at this moment.
fn expiration_ms(route: &Route, task: &Task, now: SystemTime) -> Option<u64> {
    let deadline = task
        .deadline()
        .filter(|_| route.config.expire_at_deadline)?;
    let left = deadline.duration_since(now).unwrap_or_default().as_millis();
    Some(u64::try_from(left).unwrap_or(u64::MAX).max(1))
}

/// Fails a task that is larger than any task of the service. It is not recorded: a crash before the end of the failure leaves
/// it to its timeouts.
fn fail_oversize(bridge: &Arc<Bridge>, id: TaskId, why: String) {
    if let Some(handle) = bridge.inflight.give_up(id) {
        warn!(route = handle.route.name(), task = %id, "{why}; failing it back to AWS");
        let outcome = Outcome::failed(OwnFailure::Undelivered, why);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// Fails a task whose routing key is too long for AMQP, because it can never be published.
fn fail_unroutable(bridge: &Arc<Bridge>, id: TaskId, routing_key: &str) {
    if let Some(handle) = bridge.inflight.give_up(id) {
        let bytes = routing_key.len();
        let reason = format!("its routing key has {bytes} bytes, and AMQP takes {MAX_ROUTING_KEY}");
        warn!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed_with(OwnFailure::Undelivered, reason, routing_key);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// The message of a task, as the worker protocol defines it.
fn message<'a>(
    route: &'a Route,
    task: &'a Task,
    routing_key: &'a str,
    body: &'a [u8],
) -> TaskMessage<'a> {
    let mut headers = Vec::with_capacity(task.headers.len() + route.headers().len());
    let own = task.headers.iter();
    headers.extend(own.map(|(name, value)| (name.as_ref(), value)));
    headers.extend(route.headers().iter().map(|(name, value)| (*name, value)));
    let timestamp = unix_millis(task.polled_at) / 1000;
    TaskMessage {
        id: task.id,
        destination: &route.config.destination,
        routing_key,
        body,
        content_type: match task.input.is_json() && !route.config.properties_in_body {
            true => "application/json",
            false => "text/plain",
        },
        activity: &task.activity,
        timestamp_secs: u64::try_from(timestamp).ok(),
        expiration_ms: None,
        priority: route.config.priority,
        headers,
        redelivered: false,
        failed_deliveries: 0,
    }
}

/// The body: the input. If the route says so, some properties come before the input, for clients that show only a
/// message's body. No value can break a line, because AWS allows no control characters in names.
fn body<'a>(reply_to: &str, route: &Route, task: &'a Task) -> Cow<'a, [u8]> {
    let input = task.input.text();
    if !route.config.properties_in_body {
        return Cow::Borrowed(input.as_bytes());
    }
    let (id, kind) = (task.id.reveal(), &task.activity);
    let whole = format!("correlation-id: {id}\nreply-to: {reply_to}\ntype: {kind}\n\n{input}");
    Cow::Owned(whole.into_bytes())
}
