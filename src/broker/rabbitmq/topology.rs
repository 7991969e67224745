//! The exchanges and queues that the bridge needs, and what it says when the broker will not have them so.

use super::{
    super::{CONTROL_EXCHANGE, PARKING_QUEUE, QueueError, QueueFacts, QueueSpec, REPLIES_EXCHANGE},
    convert::short,
};
use lapin::{
    Channel, Connection, Error, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// A reply queue that nobody has consumed from for a day belongs to a process that will not come back.
const REPLY_QUEUE_EXPIRES_MS: i64 = 24 * 60 * 60 * 1000;

/// RabbitMQ 4 drops a message after 20 deliveries unless told otherwise, and a reply is delivered again with every
/// connection for as long as AWS won't take it.
const REPLY_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// AMQP reply codes.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// Declares what all routes share: two exchanges, the parking queue, the reply queue.
///
/// The reply queue is a quorum queue because only those keep a message that its worker forgot to mark persistent.
pub(super) async fn declare_shared(
    connection: &Connection,
    reply_queue: &str,
) -> Result<(), Error> {
    for (exchange, kind) in [
        (CONTROL_EXCHANGE, ExchangeKind::Topic),
        (REPLIES_EXCHANGE, ExchangeKind::Direct),
    ] {
        declare_exchange(connection, exchange, kind).await?;
    }
    declare_or_find(connection, PARKING_QUEUE, quorum()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = quorum();
    for (name, value) in [
        ("x-expires", REPLY_QUEUE_EXPIRES_MS),
        ("x-delivery-limit", REPLY_DELIVERY_LIMIT),
    ] {
        arguments.insert(short(name), AMQPValue::LongLongInt(value));
    }
    let durable = QueueDeclareOptions::durable();
    channel
        .queue_declare(short(reply_queue), durable, arguments)
        .await?;
    channel
        .queue_bind(
            short(reply_queue),
            short(REPLIES_EXCHANGE),
            short(reply_queue),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    channel.close(200, short("done")).await
}

async fn declare_exchange(
    connection: &Connection,
    name: &str,
    kind: ExchangeKind,
) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let table = FieldTable::default;
    let declared = channel
        .exchange_declare(short(name), kind.clone(), options, table())
        .await;
    match declared {
        Ok(()) => channel.close(200, short("done")).await,
        // An operator may have made it for us and kept the permission to himself.
        Err(error) if reply_code(&error) == Some(ACCESS_REFUSED) => {
            let channel = connection.create_channel().await?;
            let passive = ExchangeDeclareOptions {
                passive: true,
                ..options
            };
            let found = channel
                .exchange_declare(short(name), kind, passive, table())
                .await;
            found.map_err(|_| error)?;
            channel.close(200, short("done")).await
        }
        Err(error) => Err(error),
    }
}

async fn declare_or_find(
    connection: &Connection,
    queue: &str,
    arguments: FieldTable,
) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions::durable();
    let declared = channel
        .queue_declare(short(queue), durable, arguments)
        .await;
    match declared {
        Ok(_) => channel.close(200, short("done")).await,
        // Refused, or there with arguments of the operator's: what matters is that it is there.
        Err(error)
            if matches!(
                reply_code(&error),
                Some(ACCESS_REFUSED | PRECONDITION_FAILED)
            ) =>
        {
            let channel = connection.create_channel().await?;
            let found = channel
                .queue_declare(short(queue), durable.passive(), FieldTable::default())
                .await;
            found.map_err(|_| error)?;
            channel.close(200, short("done")).await
        }
        Err(error) => Err(error),
    }
}

/// Declares or checks a route's queue. An error closes the channel.
pub(super) async fn inspect(
    channel: &Channel,
    queue: &QueueSpec,
) -> Result<QueueFacts, QueueError> {
    let durable = QueueDeclareOptions::durable();
    let (options, arguments) = match queue.declare {
        true => (durable, quorum()),
        false => (durable.passive(), FieldTable::default()),
    };
    let answer = channel
        .queue_declare(short(&queue.name), options, arguments)
        .await
        .map_err(|error| explain(&queue.name, &error))?;
    Ok(QueueFacts {
        ready: answer.message_count().into(),
        consumers: answer.consumer_count().into(),
    })
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert(short("x-queue-type"), quorum);
    arguments
}

/// Whether the broker said that there is no such thing.
pub(super) fn is_missing(error: &Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

fn explain(queue: &str, error: &Error) -> QueueError {
    let words = match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    };
    match reply_code(error) {
        Some(ACCESS_REFUSED) => QueueError::Forbidden(words),
        Some(NOT_FOUND) => QueueError::Missing(queue.to_owned()),
        Some(PRECONDITION_FAILED) => QueueError::Conflict {
            queue: queue.to_owned(),
            difference: difference(&words).to_owned(),
        },
        _ => QueueError::Away(words),
    }
}

/// The telling part of "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received
/// the value 'quorum' of type 'longstr' but current is none".
fn difference(words: &str) -> &str {
    words
        .split_once("inequivalent arg ")
        .map_or(words, |(_, difference)| difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_the_argument() {
        let words = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q': received 'true' but current is 'false'";
        assert!(difference(words).starts_with("'durable' for queue"));
        assert_eq!(difference("other"), "other");
    }
}
