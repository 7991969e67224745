//! The messages that go beside the tasks: replies that are parked, cancels that are announced, heartbeats answered.

use crate::{
    backoff::Backoff,
    bridge::Bridge,
    broker::{
        CONTROL_EXCHANGE, Delivery, Link, Message, PARKED_BECAUSE, PARKING_QUEUE, PublishError,
    },
    flights::Status,
    task::{HeaderValue, Outcome, TaskId},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// All headers of a message must fit one frame of 131,072 bytes, or the broker ends the connection. A worker may fill
/// that by itself; of its headers so many bytes are kept.
const KEPT_HEADER_BYTES: usize = 65_536;
/// How long a cancel is tried to be announced.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(600);
/// How long a worker's question is tried to be answered. It asks again with its next heartbeat.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How much is said of a reason, in characters.
const MAX_BECAUSE: usize = 1_000;

/// Puts a reply into the parking queue, as it came and with the reason. False where the connection that it came on has
/// gone: then it comes again.
pub async fn park_reply(bridge: &Bridge, reply: &Delivery, because: &str) -> bool {
    let because = because_header(because);
    let mut headers = vec![(PARKED_BECAUSE, &because)];
    headers.extend(kept(&reply.headers));
    let message = Message {
        content_type: reply.content_type.as_deref(),
        correlation_id: reply.correlation_id.as_deref(),
        kind: reply.kind.as_deref(),
        reply_to: reply.reply_to.as_deref(),
        headers,
        ..plain("", PARKING_QUEUE, &reply.body)
    };
    park(bridge, &message, || reply.receipt.is_usable()).await
}

/// Keeps an outcome that AWS will never take, so that the worker's words are not lost. It does not come again as a
/// reply does, so this waits for a broker that is away.
pub async fn park_outcome(bridge: &Bridge, id: TaskId, outcome: &Outcome, because: &str) {
    let (body, reason) = match outcome {
        Outcome::Completed { result } => (result, ""),
        Outcome::Failed {
            reason, details, ..
        } => (details, reason.as_str()),
        Outcome::Canceled { details } => (details, ""),
    };
    let because = because_header(because);
    let reason = HeaderValue::Text(reason.to_owned());
    let id = id.to_string();
    let message = Message {
        correlation_id: Some(&id),
        kind: Some(outcome.kind()),
        headers: vec![(PARKED_BECAUSE, &because), ("reason", &reason)],
        ..plain("", PARKING_QUEUE, body.as_bytes())
    };
    park(bridge, &message, || true).await;
}

fn because_header(because: &str) -> HeaderValue {
    HeaderValue::Text(because.chars().take(MAX_BECAUSE).collect())
}

/// As many of a reply's headers as fit, in their order.
fn kept(headers: &[(String, HeaderValue)]) -> impl Iterator<Item = (&str, &HeaderValue)> {
    let mut bytes = 0;
    headers.iter().filter_map(move |(name, value)| {
        bytes += name.len()
            + match value {
                HeaderValue::Text(text) => text.len(),
                HeaderValue::Integer(_) => size_of::<i64>(),
            };
        let keep = bytes <= KEPT_HEADER_BYTES && name != PARKED_BECAUSE;
        keep.then_some((name.as_str(), value))
    })
}

/// Posts to the parking queue until the broker has the message, or it is no longer `wanted`; true where it has.
async fn park(bridge: &Bridge, message: &Message<'_>, wanted: impl Fn() -> bool) -> bool {
    bridge.metrics.parked_replies.inc();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut link = bridge.broker.link();
    while let Err(error) = bridge.broker.post(message, true).await {
        if !wanted() {
            return false;
        }
        warn!(%error, queue = PARKING_QUEUE, "could not park a reply; trying again");
        if let PublishError::Unroutable(_) = error {
            // Somebody deleted the queue. Whether this helps, the next attempt tells.
            drop(bridge.broker.declare_parking().await);
        }
        sleep(backoff.next_wait()).await;
        // An error means that the broker was closed, which the next attempt finds too.
        drop(link.wait_for(Link::is_connected).await);
    }
    true
}

/// Tells whoever works on the task that it should stop, and why: `cancel-requested` or `gone`. Gives up after a while:
/// a worker that was not told finds out when its reply is late.
pub async fn announce_cancel(bridge: &Bridge, id: TaskId, reason: &'static str) {
    if timeout(ANNOUNCE_WITHIN, announce(bridge, id, reason))
        .await
        .is_err()
    {
        warn!(task = %id, reason, "could not announce a cancel; the worker will not hear of it");
    }
}

async fn announce(bridge: &Bridge, id: TaskId, reason: &str) {
    let header = HeaderValue::Text(reason.to_owned());
    let id = id.to_string();
    let message = Message {
        correlation_id: Some(&id),
        kind: Some("cancel"),
        headers: vec![("reason", &header)],
        // Once more as the body, for clients that show nothing else of a message.
        ..plain(CONTROL_EXCHANGE, &id, reason.as_bytes())
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = bridge.broker.post(&message, false).await {
        if let PublishError::Refused(_) = error {
            warn!(task = id, %error, "could not announce a cancel; the worker will not hear of it");
            return;
        }
        debug!(task = id, %error, "a cancel is not announced yet");
        sleep(backoff.next_wait()).await;
    }
}

/// Tells a worker how its task fares, where its sign of life asks for that.
pub async fn answer_sign(bridge: &Bridge, sign: &Delivery, status: Status) {
    let Some(reply_to) = &sign.reply_to else {
        return;
    };
    let label = HeaderValue::Text(status.label().to_owned());
    let message = Message {
        correlation_id: sign.correlation_id.as_deref(),
        kind: Some("status"),
        headers: vec![("status", &label)],
        ..plain("", reply_to, status.label().as_bytes())
    };
    match timeout(ANSWER_WITHIN, bridge.broker.post(&message, false)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a heartbeat could not be answered"),
        Err(_) => debug!("a heartbeat could not be answered in time"),
    }
}

/// A message with nothing but where it goes and what it holds.
fn plain<'a>(exchange: &'a str, routing_key: &'a str, body: &'a [u8]) -> Message<'a> {
    Message {
        exchange,
        routing_key,
        body,
        content_type: None,
        message_id: None,
        correlation_id: None,
        kind: None,
        reply_to: None,
        timestamp_secs: None,
        expiration_ms: None,
        priority: None,
        headers: Vec::new(),
    }
}
