//! From the poll to the broker's confirm: record the task, then publish it until the broker has it.

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
    task::{HeaderValue, Outcome, OwnFailure, Task, TaskId, Traceparent, unix_millis},
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
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, error, warn};

/// A short string of AMQP's, in bytes.
const MAX_ROUTING_KEY: usize = 255;

/// Carries a task that was just polled to the broker, or fails it back to AWS. The slot goes with the task; `unpersisted` is
/// given back when a crash would no longer lose it.
pub async fn fresh(
    bridge: Arc<Bridge>,
    route: Arc<Route>,
    mut task: Task,
    slot: Slot,
    unpersisted: UnpersistedPermit,
) {
    debug!(route = route.name(), task = %task.id, activity = task.activity, "polled");
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
    if panicked {
        return fail_panicked(&bridge, &route, task.id).await;
    }
    let until = Instant::now() + route.config.publish_within;
    let publication = Publication {
        bridge,
        route,
        until,
    };
    publish(publication, task, Kind::Fresh(span, unpersisted)).await;
}

/// Begins the task's span. The header tells the worker of it, or of the one in the input.
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

/// Goes on with a task that is in the store and in the table of flights, but was not confirmed by the broker. Returns when it
/// is confirmed or has ended, or when its time is up.
pub async fn recovered(publication: Publication, task: Task) {
    let until = publication.until;
    // A publish that is still under way then is not waited for here.
    let supervisor = publication.bridge.supervisor.clone();
    let publishing = supervisor.spawn("a publication", publish(publication, task, Kind::Recovered));
    drop(timeout_at(until, publishing).await);
}

/// Which way a task goes.
pub struct Publication {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// The route that polled it.
    pub route: Arc<Route>,
    /// When it is failed back, unless the broker has it.
    pub until: Instant,
}

/// Where a task comes from.
enum Kind {
    /// AWS, with its span, and what is held until it is recorded.
    Fresh(Span, UnpersistedPermit),
    /// The store.
    Recovered,
}

/// A task over which publishing panics is failed back to AWS. A process that recovers it would panic again.
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
        let span = match kind {
            Kind::Fresh(span, unpersisted) => {
                let recorded = record(&bridge, &route, &task, &last_error).await;
                drop(unpersisted);
                if !recorded {
                    return;
                }
                span
            }
            Kind::Recovered => Span::none(),
        };
        discover_timeouts(&bridge, &route, &mut task).await;
        let publishing = span.child("publish");
        if publish_until_confirmed(&bridge, &route, &task, &last_error).await {
            publishing.ended(PublishOutcome::Confirmed.label());
        }
    };
    tokio::pin!(carried);
    if timeout_at(until, &mut carried).await.is_ok() {
        return;
    }
    fail_undelivered(&bridge, &route, id, last_error.newest()).await;
    // A publish that is under way is awaited all the same: the broker may have the message, and then a reply may come.
    carried.await;
}

/// Fails a task back to AWS whose time is up, unless it was published or has ended.
pub async fn fail_undelivered(bridge: &Arc<Bridge>, route: &Route, id: TaskId, last_error: String) {
    bridge.ownership.wait().await;
    if let Some(handle) = bridge.inflight.give_up(id) {
        let secs = route.config.publish_within.as_secs();
        let to = &route.config.destination;
        let reason = format!("activity-bridge could not hand it to {to} within {secs} s");
        warn!(route = route.name(), task = %id, last_error, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed_with(OwnFailure::Undelivered, reason, last_error);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// Fails a task back to AWS over which something panicked before the broker had it.
async fn fail_panicked(bridge: &Arc<Bridge>, route: &Route, id: TaskId) {
    error!(route = route.name(), task = %id, "publishing a task panicked; this is a bug of activity-bridge");
    bridge.ownership.wait().await;
    if !bridge.inflight.awaits_publish(id) {
        return;
    }
    if let Some(handle) = bridge.inflight.give_up(id) {
        let reason = "publishing it panicked; this is a bug of activity-bridge";
        spawn_settlement(
            bridge,
            handle,
            Outcome::failed(OwnFailure::Undelivered, reason),
        );
    }
}

fn spawn_settlement(bridge: &Arc<Bridge>, handle: TaskHandle, outcome: Outcome) {
    let settling = settle::settle(Arc::clone(bridge), handle, outcome);
    bridge.supervisor.spawn("a settlement", settling);
}

/// What went wrong last, for the reason of a task that is failed back.
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

/// The record is in the store before the message is published: a reply may beat the confirm. False where the task ended
/// before it was recorded, or another process took it.
async fn record(bridge: &Bridge, route: &Route, task: &Task, last_error: &LastError) -> bool {
    let id = task.id;
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let recorded = loop {
        let Err(error) = bridge.store.insert(route.name(), task).await else {
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
    // What was tried in vain may have come to the store after all, and after the record was removed. Unless the task has
    // not ended, but is another process's now.
    if let Standing::Ended = bridge.inflight.standing(id) {
        settle::remove_record(bridge, id).await;
    }
    false
}

/// Learns the timeouts that the poll's answer did not tell, and puts what is known into the headers.
async fn discover_timeouts(bridge: &Bridge, route: &Route, task: &mut Task) {
    let timeouts = route.source.timeouts(task).await;
    if timeouts != task.timeouts {
        task.timeouts = timeouts;
        bridge.inflight.set_timeouts(task);
    }
    if let Some(limit) = timeouts.heartbeat.limit() {
        let secs = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let header = HeaderValue::Integer(secs);
        task.headers.push(("heartbeat-timeout-secs".into(), header));
    }
    if let Some(deadline) = task.likely_deadline() {
        let header = HeaderValue::Integer(unix_millis(deadline));
        task.headers.push(("deadline-ms".into(), header));
    }
}

/// Publishes until the broker has the message, or a reply or the end of its time made that needless. True where the broker
/// confirmed it.
async fn publish_until_confirmed(
    bridge: &Arc<Bridge>,
    route: &Arc<Route>,
    task: &Task,
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
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut undelivered = None;
    let mut link = bridge.broker.link();
    let mut confirmed = false;
    while bridge.inflight.awaits_publish(task.id) {
        message.expiration_ms = expiration_ms(route, task, SystemTime::now());
        let published = bridge.broker.publish(&message).await;
        let event = match &published {
            Ok(()) => Event::Confirmed,
            Err(_) => Event::PublishFailed,
        };
        let command = bridge.inflight.on_publish(task.id, event);
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
        // An error means that the broker was closed, which the next attempt finds too.
        drop(link.wait_for(Link::is_connected).await);
    }
    drop(undelivered);
    if confirmed {
        note_confirm(bridge, task).await;
    }
    confirmed
}

async fn note_confirm(bridge: &Bridge, task: &Task) {
    crash_point(CrashPoint::BeforeConfirm);
    if bridge.broker.durability() == Durability::Durable
        && let Err(error) = bridge.store.confirmed(task.id, task.timeouts).await
    {
        // At worst the message is published once more after a restart, with the same id.
        debug!(task = %task.id, %error, "could not note the confirm");
    }
    crash_point(CrashPoint::AfterConfirm);
}

/// Whether the route takes no more tasks until this one is published. At an exchange of the operator's, no queue for the
/// key of one task says nothing of the keys of others.
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

/// How long the message may wait in its queue, where the route says so: until the task's deadline. A message that may
/// wait for 0 ms is only taken by a consumer that is idle this moment.
fn expiration_ms(route: &Route, task: &Task, now: SystemTime) -> Option<u64> {
    let deadline = task
        .deadline()
        .filter(|_| route.config.expire_at_deadline)?;
    let left = deadline.duration_since(now).unwrap_or_default().as_millis();
    Some(u64::try_from(left).unwrap_or(u64::MAX).max(1))
}

/// A task whose routing key AMQP does not take will never be published.
fn fail_unroutable(bridge: &Arc<Bridge>, id: TaskId, routing_key: &str) {
    if let Some(handle) = bridge.inflight.give_up(id) {
        let bytes = routing_key.len();
        let reason = format!("its routing key has {bytes} bytes, and AMQP takes {MAX_ROUTING_KEY}");
        warn!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed_with(OwnFailure::Undelivered, reason, routing_key);
        spawn_settlement(bridge, handle, outcome);
    }
}

/// The message of a task, as the worker protocol says.
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
    }
}

/// The input; behind what a worker must know of the properties, where its client shows nothing but a body. No line breaks
/// itself: AWS allows no control characters in names.
fn body<'a>(reply_to: &str, route: &Route, task: &'a Task) -> Cow<'a, [u8]> {
    let input = task.input.text();
    if !route.config.properties_in_body {
        return Cow::Borrowed(input.as_bytes());
    }
    let (id, kind) = (task.id, &task.activity);
    let whole = format!("correlation-id: {id}\nreply-to: {reply_to}\ntype: {kind}\n\n{input}");
    Cow::Owned(whole.into_bytes())
}
