//! Parking: replies and outcomes that can't be used are kept in a queue of their own.

use crate::{
    broker::{Delivery, Link, ParkedMessage, names::PARKING_QUEUE},
    context::Bridge,
    task::{HeaderValue, Outcome, TaskId},
    util::{Backoff, Label},
};
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// All headers of a message must fit one frame of 131,072 bytes, or the broker ends the connection. A worker may fill
/// that by itself; of its headers so many bytes are kept.
const KEPT_HEADER_BYTES: usize = 65_536;

/// How much is said of a reason, in characters.
const MAX_BECAUSE: usize = 1_000;

/// Parks a reply as it came, with the reason. False where the connection that it came on has gone: then it comes again.
pub async fn park_reply(bridge: &Bridge, reply: &Delivery, because: &str) -> bool {
    let message = ParkedMessage {
        body: &reply.body,
        content_type: reply.content_type.as_deref(),
        correlation_id: reply.correlation_id.as_deref(),
        kind: reply.kind.as_deref(),
        reply_to: reply.reply_to.as_deref(),
        headers: kept(&reply.headers).collect(),
    };
    park(bridge, &message, because, || reply.receipt.is_usable()).await
}

/// Keeps an outcome that AWS will never take, so that the worker's words are not lost. It does not come again as a
/// reply does, so this waits for a broker that is away.
pub async fn park_outcome(bridge: &Bridge, id: TaskId, outcome: &Outcome, because: &str) {
    let (body, reason) = match outcome {
        Outcome::Failed { reason, .. } => (outcome.text(), reason.as_str()),
        Outcome::Completed { .. } | Outcome::Canceled { .. } => (outcome.text(), ""),
    };
    let reason = HeaderValue::Text(reason.to_owned());
    let id = id.to_string();
    let message = ParkedMessage {
        body: body.as_bytes(),
        correlation_id: Some(&id),
        kind: Some(outcome.kind().label()),
        headers: vec![("reason", &reason)],
        ..ParkedMessage::default()
    };
    park(bridge, &message, because, || true).await;
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
        let keep = bytes <= KEPT_HEADER_BYTES;
        keep.then_some((name.as_str(), value))
    })
}

/// Parks until the broker has the message, or it is no longer `wanted`; true where the broker has it.
async fn park(
    bridge: &Bridge,
    message: &ParkedMessage<'_>,
    because: &str,
    wanted: impl Fn() -> bool,
) -> bool {
    bridge.metrics.parked_replies.inc();
    let because: String = because.chars().take(MAX_BECAUSE).collect();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut link = bridge.broker.link();
    while let Err(error) = bridge.broker.park(message, &because).await {
        if !wanted() {
            return false;
        }
        warn!(%error, queue = PARKING_QUEUE, "could not park a reply; trying again");
        sleep(backoff.next_wait()).await;
        // An error means that the broker was closed, which the next attempt finds too.
        drop(link.wait_for(Link::is_connected).await);
    }
    true
}
