//! Parking: puts replies and outcomes that can't be used into the parking queue, with the reason. The callers decide
//! what happens to the task.

use super::parked_as;
use crate::{
    broker::{Delivery, Durability, Link, ParkError, ParkedMessage, names::PARKING_QUEUE},
    context::Bridge,
    task::{HeaderValue, Outcome, TaskId},
    util::{
        Backoff, Label,
        log_tally::Tally,
        supervise::{Panicked, catch_async},
    },
};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{error, warn};

/// Maximum size of the kept headers of a reply, in bytes. All headers of a message must fit into one frame of 131,072
/// bytes, or the broker ends the connection. A worker's headers alone may fill such a frame.
const KEPT_HEADER_BYTES: usize = 65_536;

/// Wait before a reply is put back. It limits how often a reply goes round while replies can't be parked.
const PUT_BACK_DELAY: Duration = Duration::from_secs(1);

/// Maximum length of a reason, in characters.
const MAX_BECAUSE: usize = 1_000;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// The parking queue has it.
    Stored,
    /// The parking queue has no room for it, or it is a parked reply that is replayed. Nobody keeps it but its sender.
    NoRoom,
    /// A copy of the reply is at the end of its queue. The reply comes again.
    PutBack,
    /// The connection of the reply has ended. The broker delivers the reply again.
    ComesAgain,
}

/// Parks a reply unchanged, with the reason.
pub async fn park_reply(bridge: &Bridge, reply: &Delivery, because: &str) -> Parked {
    if reply.receipt.stays_parked(because) {
        return Parked::NoRoom;
    }
    let attempt = async {
        let message = ParkedMessage {
            body: &reply.body,
            content_type: reply.content_type.as_deref(),
            correlation_id: reply.correlation_id.as_deref(),
            kind: reply.kind.as_deref(),
            reply_to: reply.reply_to.as_deref(),
            headers: kept(&reply.headers).collect(),
            own_headers: parked_as::headers(bridge, reply),
        };
        park(bridge, &message, because, Some(reply)).await
    };
    let parked = catch_async(attempt).await;
    parked.unwrap_or_else(|Panicked| {
        error!("parking a reply panicked; this is a bug of activity-bridge, and the reply is lost unless its worker keeps it");
        match bridge.broker.durability() {
            // Otherwise the broker would deliver it to one process after another, and each would panic.
            Durability::Durable => Parked::Stored,
            Durability::Process => Parked::NoRoom,
        }
    })
}

/// Parks an outcome that AWS does not accept, so that the worker's text is not lost. The broker would not deliver an
/// outcome again, so this waits for the broker. If there is no room, the senders of the outcome are told so. The outcome of a parked
/// reply that is replayed is parked already.
pub async fn park_outcome(bridge: &Bridge, id: TaskId, outcome: &Outcome, because: &str) {
    if bridge.inflight.stays_parked(id, because) {
        return;
    }
    let (body, reason) = match outcome {
        Outcome::Failed { reason, .. } => (outcome.text(), reason.as_str()),
        Outcome::Completed { .. } | Outcome::Canceled { .. } => (outcome.text(), ""),
    };
    let reason = HeaderValue::Text(reason.to_owned());
    let text = id.reveal();
    let message = ParkedMessage {
        body: body.as_bytes(),
        correlation_id: Some(&text),
        kind: Some(outcome.kind().label()),
        headers: vec![("reason", &reason)],
        own_headers: parked_as::headers_of_outcome(bridge, id),
        ..ParkedMessage::default()
    };
    if park(bridge, &message, because, None).await == Parked::NoRoom {
        for receipt in bridge.inflight.take_receipts(id) {
            receipt.requeue().await;
        }
    }
}

/// The headers of a reply that fit into [`KEPT_HEADER_BYTES`], in their order.
fn kept(headers: &[(String, HeaderValue)]) -> impl Iterator<Item = (&str, &HeaderValue)> {
    let mut bytes = 0;
    headers.iter().filter_map(move |(name, value)| {
        // As AMQP writes them: the lengths of the name and of a text, and the type of the value, count too.
        bytes += 2
            + name.len()
            + match value {
                HeaderValue::Text(text) => 4 + text.len(),
                HeaderValue::Integer(_) => size_of::<i64>(),
            };
        let keep = bytes <= KEPT_HEADER_BYTES;
        keep.then_some((name.as_str(), value))
    })
}

/// Tries until the broker has the message or has no room for it. `reply` is missing for an outcome: nobody would deliver that
/// again, so this waits as long as it takes.
async fn park(
    bridge: &Bridge,
    message: &ParkedMessage<'_>,
    because: &str,
    reply: Option<&Delivery>,
) -> Parked {
    bridge.metrics.parked_replies.inc();
    let because: String = because.chars().take(MAX_BECAUSE).collect();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut link = bridge.broker.link();
    let mut place = None;
    loop {
        if let Some(reply) = reply
            && is_failing(bridge)
        {
            place = place.or_else(|| bridge.park_retries.try_acquire().ok());
            if place.is_none() && put_back(bridge, message, reply).await {
                return Parked::PutBack;
            }
        }
        let error = match bridge.broker.park(message, &because).await {
            Ok(()) => return Parked::Stored,
            Err(ParkError::NoRoom(_)) => {
                bridge.metrics.unparked_replies.inc();
                return Parked::NoRoom;
            }
            Err(error) => error,
        };
        // Each reply that waits comes here again and again.
        if let Tally::Write(left_out) = bridge.unusable.note("could not park a reply") {
            let left_out = (left_out > 0).then_some(left_out);
            warn!(%error, queue = PARKING_QUEUE, left_out, "could not park a reply; trying again");
        }
        if reply.is_some_and(|reply| !reply.receipt.is_usable()) {
            return Parked::ComesAgain;
        }
        sleep(backoff.next_wait()).await;
        // An error means that the broker was closed. The next attempt finds that too.
        drop(link.wait_for(Link::is_connected).await);
    }
}

/// Whether replies are kept in a queue, and none can be parked at present.
fn is_failing(bridge: &Bridge) -> bool {
    bridge.broker.durability() == Durability::Durable && bridge.broker.parking_problem().is_some()
}

/// Puts a copy of a reply at the end of its queue. True if the copy is there.
async fn put_back(bridge: &Bridge, message: &ParkedMessage<'_>, reply: &Delivery) -> bool {
    if !reply.may_be_copied {
        return false;
    }
    sleep(PUT_BACK_DELAY).await;
    reply.receipt.is_usable() && bridge.broker.put_back(message).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise no client could read the parked reply.
    #[test]
    fn the_headers_that_are_kept_fit_a_frame_as_amqp_writes_them() {
        let long = "a".repeat(1_000);
        for (name, value) in [
            ("", HeaderValue::Text(String::new())),
            ("", HeaderValue::Text("true".to_owned())),
            ("n", HeaderValue::Integer(1)),
            (&*long, HeaderValue::Text(long.clone())),
        ] {
            let headers = vec![(name.to_owned(), value); 100_000];
            let kept = kept(&headers).map(|(name, value)| {
                let written = match value {
                    HeaderValue::Text(text) => 4 + text.len(),
                    HeaderValue::Integer(_) => 8,
                };
                1 + name.len() + 1 + written
            });
            let bytes: usize = kept.sum();
            assert!(bytes > KEPT_HEADER_BYTES - 3_000, "{bytes}");
            assert!(bytes <= KEPT_HEADER_BYTES, "{bytes}");
        }
    }
}
