//! The messages that go beside the tasks: replies that are parked, and cancels that are announced.

use crate::{
    backoff::Backoff,
    bridge::Bridge,
    broker::{
        CONTROL_EXCHANGE, Delivery, Link, Message, PARKED_BECAUSE, PARKING_QUEUE, PublishError,
    },
    task::{HeaderValue, Outcome, TaskId},
};
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// Puts a reply into the parking queue, as it came and with the reason. False where the connection that it came on has
/// gone: then it comes again.
pub async fn park_reply(bridge: &Bridge, reply: &Delivery, because: &str) -> bool {
    let because = HeaderValue::Text(because.to_owned());
    let mut headers = vec![(PARKED_BECAUSE, &because)];
    let own = reply
        .headers
        .iter()
        .filter(|(name, _)| name != PARKED_BECAUSE);
    headers.extend(own.map(|(name, value)| (name.as_str(), value)));
    let message = Message {
        content_type: reply.content_type.as_deref(),
        correlation_id: reply.correlation_id.as_deref(),
        kind: reply.kind.as_deref(),
        reply_to: reply.reply_to.as_deref(),
        headers,
        ..plain("", PARKING_QUEUE, &reply.body)
    };
    bridge.metrics.parked_replies.inc();
    park(bridge, &message).await
}

/// Keeps an outcome that AWS will never take, so that the worker's words are not lost. It does not come again as a
/// reply does, so this waits for a broker that is away.
pub async fn park_outcome(bridge: &Bridge, id: TaskId, outcome: &Outcome, because: &str) {
    let (body, reason) = match outcome {
        Outcome::Completed { result } => (result, ""),
        Outcome::Failed { reason, details } => (details, reason.as_str()),
        Outcome::Canceled { details } => (details, ""),
    };
    let because = HeaderValue::Text(because.to_owned());
    let reason = HeaderValue::Text(reason.to_owned());
    let id = id.to_string();
    let message = Message {
        correlation_id: Some(&id),
        kind: Some(outcome.kind()),
        headers: vec![(PARKED_BECAUSE, &because), ("reason", &reason)],
        ..plain("", PARKING_QUEUE, body.as_bytes())
    };
    bridge.metrics.parked_replies.inc();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut link = bridge.broker.link();
    while !park(bridge, &message).await {
        sleep(backoff.next_wait()).await;
        // The sender lives as long as the broker, which `bridge` holds.
        drop(link.wait_for(Link::is_connected).await);
    }
}

/// False where the connection has gone.
async fn park(bridge: &Bridge, message: &Message<'_>) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match bridge.broker.post(message, true).await {
            Ok(()) => return true,
            Err(PublishError::Away | PublishError::Unconfirmed(_)) => return false,
            Err(
                error @ (PublishError::Unroutable(_)
                | PublishError::Nacked
                | PublishError::Refused(_)),
            ) => {
                warn!(%error, queue = PARKING_QUEUE, "could not park a reply; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// Tells whoever works on the task that it should stop, and why: `cancel-requested` or `gone`.
pub async fn announce_cancel(bridge: &Bridge, id: TaskId, reason: &str) {
    const ATTEMPTS: u32 = 5;
    let reason = HeaderValue::Text(reason.to_owned());
    let id = id.to_string();
    let message = Message {
        correlation_id: Some(&id),
        kind: Some("cancel"),
        headers: vec![("reason", &reason)],
        ..plain(CONTROL_EXCHANGE, &id, b"")
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = bridge.broker.post(&message, false).await {
        if backoff.attempts() >= ATTEMPTS {
            warn!(task = id, %error, "could not announce a cancel; the worker will not hear of it");
            return;
        }
        sleep(backoff.next_wait()).await;
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
        headers: Vec::new(),
    }
}
