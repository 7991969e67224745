//! What workers are told: cancels, and answers to heartbeats.

use crate::{
    broker::{Delivery, Message, PublishError, names::CONTROL_EXCHANGE},
    context::Bridge,
    task::{HeaderValue, Status, TaskId},
    util::Backoff,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// How long a cancel is tried to be announced.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(600);

/// How long a worker's question is tried to be answered. It asks again with its next heartbeat.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

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
pub(super) fn plain<'a>(exchange: &'a str, routing_key: &'a str, body: &'a [u8]) -> Message<'a> {
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
