//! The messages of the bridge in AMQP's terms: exchange, routing key, properties, headers, body.

use super::names::REPLY_QUEUE;
use crate::{
    broker::{
        Announcement, ParkedMessage, TaskMessage,
        names::{CONTROL_EXCHANGE, PARKED_BECAUSE, PARKING_QUEUE, is_of_parked},
    },
    task::{HeaderValue, Status},
};

/// Headers that name further queues for a message. RabbitMQ closes the channel over a text in one of them, and a client of another
/// protocol may send such a text.
const RECIPIENTS: [&str; 2] = ["CC", "BCC"];

/// A message to publish. It borrows all its parts.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    /// Empty for the default exchange.
    pub(super) exchange: &'a str,
    /// At most 255 bytes, like all short strings.
    pub(super) routing_key: &'a str,
    pub(super) body: &'a [u8],
    pub(super) content_type: Option<&'a str>,
    /// A return carries it too.
    pub(super) message_id: Option<&'a str>,
    pub(super) correlation_id: Option<&'a str>,
    /// The property `type`.
    pub(super) kind: Option<&'a str>,
    pub(super) reply_to: Option<&'a str>,
    pub(super) timestamp_secs: Option<u64>,
    pub(super) expiration_ms: Option<u64>,
    pub(super) priority: Option<u8>,
    pub(super) headers: Vec<(&'a str, &'a HeaderValue)>,
}

impl<'a> Message<'a> {
    /// The bytes of the body and the headers.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| {
            let value = match value {
                HeaderValue::Text(text) => text.len(),
                HeaderValue::Integer(_) => size_of::<i64>(),
            };
            name.len() + value
        });
        self.body.len() + headers.sum::<usize>()
    }

    /// A task's message. `id` is the task's id as a text. `reply_queue` is the name of the reply queue twice: replies
    /// and dead letters find this process by different fields.
    pub(super) fn task(
        task: &'a TaskMessage<'_>,
        id: &'a str,
        (reply_to, reply_queue): (&'a str, &'a HeaderValue),
    ) -> Self {
        let mut headers = Vec::with_capacity(task.headers.len() + 1);
        headers.extend_from_slice(&task.headers);
        headers.push((REPLY_QUEUE, reply_queue));
        Self {
            exchange: task.destination.exchange(),
            routing_key: task.routing_key,
            body: task.body,
            content_type: Some(task.content_type),
            message_id: Some(id),
            correlation_id: Some(id),
            kind: Some(task.activity),
            reply_to: Some(reply_to),
            timestamp_secs: task.timestamp_secs,
            expiration_ms: task.expiration_ms,
            priority: task.priority,
            headers,
        }
    }

    /// A message for the parking queue.
    pub(super) fn parked(parked: &'a ParkedMessage<'_>, because: &'a HeaderValue) -> Self {
        let mut headers = vec![(PARKED_BECAUSE, because)];
        let own = parked.own_headers.iter();
        headers.extend(own.map(|(name, value)| (*name, value)));
        let again = Self::again(parked, PARKING_QUEUE);
        let theirs = again.headers.iter();
        headers.extend(theirs.filter(|(name, _)| !is_of_parked(name)));
        Self { headers, ..again }
    }

    /// A reply as it came, for this queue.
    pub(super) fn again(reply: &'a ParkedMessage<'_>, queue: &'a str) -> Self {
        let theirs = reply.headers.iter();
        let theirs = theirs.filter(|(name, _)| !RECIPIENTS.contains(name));
        Self {
            routing_key: queue,
            body: reply.body,
            content_type: reply.content_type,
            correlation_id: reply.correlation_id,
            kind: reply.kind,
            reply_to: reply.reply_to,
            headers: theirs.copied().collect(),
            ..Self::default()
        }
    }

    /// An announcement. The body repeats the reason, for clients that show only a message's body.
    pub(super) fn announcement(what: Announcement, id: &'a str, reason: &'a HeaderValue) -> Self {
        Self {
            exchange: CONTROL_EXCHANGE,
            routing_key: id,
            body: what.label().as_bytes(),
            correlation_id: Some(id),
            kind: Some("cancel"),
            headers: vec![("reason", reason)],
            ..Self::default()
        }
    }

    /// The answer to a worker's sign of life.
    pub(super) fn status(
        status: Status,
        reply_to: &'a str,
        correlation_id: Option<&'a str>,
        label: &'a HeaderValue,
    ) -> Self {
        Self {
            routing_key: reply_to,
            body: status.label().as_bytes(),
            correlation_id,
            kind: Some("status"),
            headers: vec![("status", label)],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_is_parked_or_put_back_names_no_further_queue() {
        let value = HeaderValue::Text("payments".to_owned());
        let because = HeaderValue::Text("why".to_owned());
        let names = ["CC", "shop", "BCC", "parked-as"];
        let at = HeaderValue::Integer(1);
        let reply = ParkedMessage {
            own_headers: vec![("parked-at", at.clone())],
            body: b"",
            content_type: None,
            correlation_id: None,
            kind: None,
            reply_to: None,
            headers: names.map(|name| (name, &value)).into(),
        };
        let parked = Message::parked(&reply, &because);
        assert_eq!(
            parked.headers,
            [
                (PARKED_BECAUSE, &because),
                ("parked-at", &at),
                ("shop", &value)
            ]
        );
        let again = Message::again(&reply, "replies");
        assert_eq!(again.headers, [("shop", &value), ("parked-as", &value)]);
    }
}
