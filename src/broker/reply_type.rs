//! What a reply says that it is, in the property `type` or in the header `reply-type`.

use super::{
    amqp::{properties::Properties, table::Value},
    inbound::Delivery,
};
use crate::task::HeaderValue;

/// The header that says what a reply is. Some clients can set headers, but not the property `type`.
const HEADER: &str = "reply-type";

/// What RabbitMQ sets `type` to if an AMQP 1.0 client sent the message.
const OF_AMQP_1_0: &str = "amqp-1.0";

/// A type of reply that the worker protocol knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyType {
    /// The task is done.
    Completed,
    /// The task failed.
    Failed,
    /// The worker stopped because it was asked to.
    Canceled,
    /// A worker has begun.
    Started,
    /// The worker is alive.
    Heartbeat,
}

impl ReplyType {
    /// The type of this name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "started" => Self::Started,
            "heartbeat" => Self::Heartbeat,
            _ => return None,
        })
    }

    /// Whether it says only that a worker is alive. Any other reply ends the task.
    #[must_use]
    pub fn is_sign(self) -> bool {
        matches!(self, Self::Started | Self::Heartbeat)
    }
}

impl Delivery {
    /// The type that the protocol knows. It counts also beside another text: a gateway may copy the `type` of the task's
    /// message, while the worker sets the header.
    #[must_use]
    pub fn reply_type(&self) -> Option<ReplyType> {
        self.types().find_map(ReplyType::named)
    }

    /// A type that the protocol does not know; `None` if the reply has no type at all. Some texts count as none, because
    /// no worker has chosen them: an empty one, that of AMQP 1.0, and a copy of the `type` of the task's message.
    pub fn unknown_type(&self, is_copy: impl Fn(&str) -> bool) -> Option<&str> {
        self.types()
            .find(|text| !text.is_empty() && *text != OF_AMQP_1_0 && !is_copy(text))
    }

    /// What may say the type: the property, and then the header.
    fn types(&self) -> impl Iterator<Item = &str> {
        let header = self.headers.iter().find(|(name, _)| name == HEADER);
        let header = header.and_then(|(_, value)| match value {
            HeaderValue::Text(text) => Some(text.as_str()),
            HeaderValue::Integer(_) => None,
        });
        self.kind.as_deref().into_iter().chain(header)
    }
}

/// Whether a message with these properties says only that a worker is alive, as [`Delivery::reply_type`] would find it.
pub(super) fn is_sign(properties: &Properties) -> bool {
    let header = match properties.header(HEADER.as_bytes()) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let types = [properties.kind(), header].into_iter().flatten();
    let mut texts = types.filter_map(|text| std::str::from_utf8(text).ok());
    let known = texts.find_map(ReplyType::named);
    known.is_some_and(ReplyType::is_sign)
}

/// Whether this is the `type` of the message of a task with this activity.
#[must_use]
pub fn is_type_of_task(text: &str, activity: &str) -> bool {
    !activity.is_empty() && text == short(activity)
}

/// The `type` of the message of a task with this activity: what fits AMQP's short strings.
fn short(activity: &str) -> &str {
    let mut end = activity.len().min(255);
    while !activity.is_char_boundary(end) {
        end -= 1;
    }
    activity.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broker::{
            Receipt,
            amqp::{properties_builder::PropertiesBuilder, table_builder::TableBuilder},
            read,
        },
        task::TaskId,
    };

    fn reply(kind: Option<&str>, header: Option<&str>) -> Delivery {
        let header = header.map(|text| (HEADER.to_owned(), HeaderValue::Text(text.to_owned())));
        Delivery {
            kind: kind.map(str::to_owned),
            headers: header.into_iter().collect(),
            ..Delivery::about(TaskId::random())
        }
    }

    #[test]
    fn a_known_type_wins_over_a_copy_and_over_what_counts_as_none() {
        use ReplyType::{Completed, Failed, Heartbeat};
        for (kind, header, expected) in [
            (None, None, None),
            (Some(""), None, None),
            (Some("charge"), None, None),
            (Some("amqp-1.0"), None, None),
            (Some("completed"), None, Some(Completed)),
            (None, Some("failed"), Some(Failed)),
            (Some(""), Some("failed"), Some(Failed)),
            (Some("charge"), Some("failed"), Some(Failed)),
            (Some("amqp-1.0"), Some("heartbeat"), Some(Heartbeat)),
            (Some("completed"), Some("failed"), Some(Completed)),
            (Some("Completed"), None, None),
        ] {
            assert_eq!(
                reply(kind, header).reply_type(),
                expected,
                "{kind:?} {header:?}"
            );
        }
    }

    #[test]
    fn a_sign_of_life_is_known_by_the_properties_alone() {
        for (kind, header) in [
            (&b""[..], None),
            (b"heartbeat", None),
            (b"started", Some("completed")),
            (b"completed", Some("heartbeat")),
            (b"charge", Some("heartbeat")),
            (b"\xe9", Some("started")),
            (b"", Some("failed")),
        ] {
            let mut properties = PropertiesBuilder::new().kind(kind);
            if let Some(header) = header {
                let table = TableBuilder::new().text(HEADER, header).finish();
                properties = properties.headers(table.expect("a table"));
            }
            let properties = properties.finish().expect("properties");
            let read = read::delivery(&properties, Vec::new(), Receipt::none(), || ());
            let (read, ()) = read.expect("it does not panic");
            let expected = read.reply_type().is_some_and(ReplyType::is_sign);
            assert_eq!(is_sign(&properties), expected, "{kind:?} {header:?}");
        }
    }

    #[test]
    fn an_unknown_type_is_one_that_somebody_chose() {
        for (kind, header, expected) in [
            (None, None, None),
            (Some(""), Some(""), None),
            (Some("charge"), None, None),
            (Some("charge"), Some("charge"), None),
            (Some("amqp-1.0"), None, None),
            (Some("complete"), None, Some("complete")),
            (Some(""), Some("complete"), Some("complete")),
            (Some("charge"), Some("complete"), Some("complete")),
            (Some("Charge"), None, Some("Charge")),
        ] {
            let reply = reply(kind, header);
            let unknown = reply.unknown_type(|text| is_type_of_task(text, "charge"));
            assert_eq!(unknown, expected, "{kind:?} {header:?}");
        }
    }

    #[test]
    fn the_type_of_a_task_is_the_activity_as_far_as_it_fits() {
        assert!(is_type_of_task("charge", "charge"));
        assert!(!is_type_of_task("charg", "charge"));
        let long = "é".repeat(200);
        assert!(is_type_of_task(&"é".repeat(127), &long));
        assert!(!is_type_of_task(&long, &long));
        // A record of an earlier version has no activity.
        assert!(!is_type_of_task("", ""));
    }
}
