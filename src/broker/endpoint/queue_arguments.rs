//! The arguments of `queue.declare` on a worker's own queue: which are honoured, which mean nothing here, and which are
//! refused because a client that sets them relies on them. Pure.

use super::{
    given_argument::{Given, Value, described},
    refusal::Refusal,
};
use amq_protocol::types::FieldTable;
use std::{fmt, time::Duration};

/// The arguments that say how the endpoint treats the queue. A second declaration must repeat them.
const HONOURED: [&str; 6] = [
    EXPIRES,
    MESSAGE_TTL,
    MAX_LENGTH,
    MAX_LENGTH_BYTES,
    OVERFLOW,
    SINGLE_ACTIVE_CONSUMER,
];
const EXPIRES: &str = "x-expires";
const MESSAGE_TTL: &str = "x-message-ttl";
const MAX_LENGTH: &str = "x-max-length";
const MAX_LENGTH_BYTES: &str = "x-max-length-bytes";
const OVERFLOW: &str = "x-overflow";
const SINGLE_ACTIVE_CONSUMER: &str = "x-single-active-consumer";
const QUEUE_TYPE: &str = "x-queue-type";
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";

/// The exchange that aio-pika's RPC names on each of its queues. It brings the caller news of a call that has expired, and
/// nothing else. So such a queue is taken, without its dead letters.
const RPC_DEAD_LETTERS: &str = "rpc.dlx";

/// The arguments of RabbitMQ's that change what becomes of messages, and that the endpoint does not have. Each with what to
/// do instead.
const REFUSED: [(&str, &str); 8] = [
    ("x-dead-letter-routing-key", NO_DEAD_LETTERS),
    ("x-dead-letter-strategy", NO_DEAD_LETTERS),
    ("x-max-priority", "declare a queue for each priority"),
    ("x-delivery-limit", NO_QUORUM),
    (
        "x-consumer-timeout",
        "end the connection of a worker that hangs",
    ),
    ("x-quorum-initial-group-size", NO_QUORUM),
    ("x-max-age", NO_STREAMS),
    ("x-stream-max-segment-size-bytes", NO_STREAMS),
];
const NO_DEAD_LETTERS: &str = "let the worker publish such a message itself";
const NO_QUORUM: &str = "queues of workers are of the type classic";
const NO_STREAMS: &str = "there are no streams";

/// The greatest number of milliseconds, as with RabbitMQ.
const MAX_MILLIS: u64 = 0xFFFF_FFFF;

/// What the arguments of a queue say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueArguments {
    /// Time without use after which the queue ends.
    pub(super) expires: Option<Duration>,
    /// Maximum time for which a message waits.
    pub(super) message_ttl: Option<Duration>,
    /// Maximum number of messages that wait.
    pub(super) max_messages: Option<usize>,
    /// Maximum size of the messages that wait, in bytes.
    pub(super) max_bytes: Option<usize>,
    /// Whether a full queue refuses new messages. Otherwise it drops the oldest.
    pub(super) refuses_when_full: bool,
    /// Whether only the oldest consumer gets messages.
    pub(super) has_single_consumer: bool,
    /// The honoured arguments, in the order of [`HONOURED`], as they came.
    given: Vec<(&'static str, Given)>,
}

impl QueueArguments {
    /// Reads the arguments. The error says which one can't be taken, and why.
    pub(crate) fn parse(queue: &str, table: &FieldTable) -> Result<Self, Refusal> {
        let table = table.inner();
        if let Some((name, instead)) = REFUSED.iter().find(|(name, _)| table.contains_key(*name)) {
            return Err(not_here(queue, name, instead));
        }
        let dead_letters = table.get(DEAD_LETTER_EXCHANGE).map(Given::read);
        if dead_letters.is_some_and(|to| to.is_none_or(|to| !to.is_text(RPC_DEAD_LETTERS))) {
            return Err(not_here(queue, DEAD_LETTER_EXCHANGE, NO_DEAD_LETTERS));
        }
        if let Some(kind) = table.get(QUEUE_TYPE) {
            let kind = Given::read(kind);
            if kind.is_none_or(|kind| !kind.is_text("classic")) {
                return Err(not_here(
                    queue,
                    QUEUE_TYPE,
                    "only the type classic is there",
                ));
            }
        }
        let mut arguments = Self::default();
        for name in HONOURED {
            let Some(value) = table.get(name) else {
                continue;
            };
            let given = Given::read(value);
            let given = given.ok_or_else(|| invalid(queue, name, "its type can't be used"))?;
            arguments.set(queue, name, &given.value)?;
            arguments.given.push((name, given));
        }
        Ok(arguments)
    }

    fn set(&mut self, queue: &str, name: &'static str, value: &Value) -> Result<(), Refusal> {
        let millis = |least: u64| {
            match value {
                Value::Number(number) => u64::try_from(*number)
                    .ok()
                    .filter(|number| (least..=MAX_MILLIS).contains(number))
                    .map(Duration::from_millis),
                _ => None,
            }
            .ok_or_else(|| invalid(queue, name, "it must be a number of milliseconds"))
        };
        let count = || {
            match value {
                Value::Number(number) => usize::try_from(*number).ok(),
                _ => None,
            }
            .ok_or_else(|| invalid(queue, name, "it must be a number of 0 or more"))
        };
        match name {
            EXPIRES => self.expires = Some(millis(1)?),
            MESSAGE_TTL => self.message_ttl = Some(millis(0)?),
            MAX_LENGTH => self.max_messages = Some(count()?),
            MAX_LENGTH_BYTES => self.max_bytes = Some(count()?),
            SINGLE_ACTIVE_CONSUMER => match value {
                Value::Flag(flag) => self.has_single_consumer = *flag,
                _ => return Err(invalid(queue, name, "it must be true or false")),
            },
            _ => match value {
                Value::Text(text) if text == "drop-head" => self.refuses_when_full = false,
                Value::Text(text) if text == "reject-publish" => self.refuses_when_full = true,
                Value::Text(text) if text == "reject-publish-dlx" => {
                    return Err(not_here(queue, name, "use reject-publish"));
                }
                _ => return Err(invalid(queue, name, "use drop-head or reject-publish")),
            },
        }
        Ok(())
    }

    /// Refuses a second declaration with other arguments, in RabbitMQ's words.
    pub(crate) fn check_same(&self, queue: &str, received: &Self) -> Result<(), Refusal> {
        for name in HONOURED {
            let (current, received) = (self.given(name), received.given(name));
            let same = current.map(|given| &given.value) == received.map(|given| &given.value);
            if same {
                continue;
            }
            let (received, current) = match (received, current) {
                (Some(received), Some(current)) => (
                    format!("'{}'", received.value),
                    format!("'{}'", current.value),
                ),
                (received, current) => (described(received), described(current)),
            };
            return Err(inequivalent(queue, name, received, current));
        }
        Ok(())
    }

    fn given(&self, name: &str) -> Option<&Given> {
        let found = self.given.iter().find(|(known, _)| *known == name);
        found.map(|(_, given)| given)
    }
}

/// The refusal of a second declaration that differs.
pub(super) fn inequivalent(
    queue: &str,
    what: &str,
    received: impl fmt::Display,
    current: impl fmt::Display,
) -> Refusal {
    Refusal::precondition(format_args!(
        "inequivalent arg '{what}' for queue '{queue}' in vhost '/': received {received} but current is {current}"
    ))
}

fn invalid(queue: &str, name: &str, why: &str) -> Refusal {
    Refusal::precondition(format_args!(
        "invalid arg '{name}' for queue '{queue}' in vhost '/': {why}"
    ))
}

fn not_here(queue: &str, name: &str, instead: &str) -> Refusal {
    Refusal::not_implemented(format_args!("{name} of queue '{queue}'; {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::types::AMQPValue;

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn parse(entries: &[(&str, AMQPValue)]) -> Result<QueueArguments, Refusal> {
        QueueArguments::parse("q", &table(entries))
    }

    #[test]
    fn what_is_honoured_is_read_and_what_means_nothing_here_is_taken() {
        let arguments = parse(&[
            ("x-expires", AMQPValue::LongInt(60_000)),
            ("x-message-ttl", AMQPValue::LongLongInt(0)),
            ("x-max-length", AMQPValue::ShortShortUInt(7)),
            ("x-max-length-bytes", AMQPValue::LongUInt(900)),
            ("x-overflow", AMQPValue::LongString("reject-publish".into())),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
            ("x-queue-type", AMQPValue::LongString("classic".into())),
            ("x-queue-mode", AMQPValue::LongString("lazy".into())),
            (
                "x-dead-letter-exchange",
                AMQPValue::LongString("rpc.dlx".into()),
            ),
            ("x-of-somebody", AMQPValue::Void),
        ])
        .expect("taken");
        assert_eq!(arguments.expires, Some(Duration::from_secs(60)));
        assert_eq!(arguments.message_ttl, Some(Duration::ZERO));
        assert_eq!(
            (arguments.max_messages, arguments.max_bytes),
            (Some(7), Some(900))
        );
        assert!(arguments.refuses_when_full && arguments.has_single_consumer);
        assert_eq!(arguments.given.len(), HONOURED.len());
    }

    #[test]
    fn what_a_client_relies_on_in_vain_is_refused() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        for (name, value, code) in [
            ("x-dead-letter-exchange", text(""), 540),
            ("x-max-priority", AMQPValue::LongInt(10), 540),
            ("x-queue-type", text("quorum"), 540),
            ("x-overflow", text("reject-publish-dlx"), 540),
            ("x-overflow", text("drop-tail"), 406),
            ("x-expires", AMQPValue::LongInt(0), 406),
            ("x-expires", text("60000"), 406),
            ("x-message-ttl", AMQPValue::LongInt(-1), 406),
            ("x-max-length", AMQPValue::LongLongInt(-1), 406),
            ("x-single-active-consumer", AMQPValue::LongInt(1), 406),
        ] {
            let refused = parse(&[(name, value)]).expect_err(name);
            assert_eq!(refused.code, code, "{}", refused.text);
            assert!(refused.text.contains(name), "{}", refused.text);
        }
    }

    #[test]
    fn a_second_declaration_is_compared_in_rabbitmq_s_words() {
        let none = QueueArguments::default();
        let minute = parse(&[("x-expires", AMQPValue::LongInt(60_000))]).expect("taken");
        let same = parse(&[("x-expires", AMQPValue::LongLongInt(60_000))]).expect("taken");
        let hour = parse(&[("x-expires", AMQPValue::LongInt(3_600_000))]).expect("taken");
        assert_eq!(minute.check_same("q", &same), Ok(()));
        for (current, received, says) in [
            (
                &none,
                &minute,
                "received the value '60000' of type 'signedint' but current is none",
            ),
            (
                &minute,
                &none,
                "received none but current is the value '60000' of type 'signedint'",
            ),
            (&minute, &hour, "received '3600000' but current is '60000'"),
        ] {
            let refused = current.check_same("q", received).expect_err(says);
            let start =
                "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': ";
            assert_eq!(refused.text, format!("{start}{says}"));
        }
    }
}
