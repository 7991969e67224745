//! The exchanges and queues that the bridge needs: their declarations, and what the broker's refusals mean.

use super::{
    convert::short,
    names::{DEAD_LETTERS_EXCHANGE, NO_DELIVERY_LIMIT, REPLY_QUEUE, UNCLAIMED_EXCHANGE},
    options::Options,
    queue_error::{QueueError, QueueFacts},
};
use crate::broker::{
    QueueArguments, QueueSpec,
    names::{CONTROL_EXCHANGE, PARKING_QUEUE, REPLIES_EXCHANGE},
};
use lapin::{
    Channel, Connection, Error, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// AMQP's reply codes.
const ACCESS_REFUSED: u16 = 403;

const NOT_FOUND: u16 = 404;

const RESOURCE_LOCKED: u16 = 405;

const PRECONDITION_FAILED: u16 = 406;

/// A durable exchange of the bridge's.
pub(crate) struct Exchange {
    pub(crate) name: &'static str,
    kind: ExchangeKind,
    /// The alternate exchange: it takes the messages that this one can't route.
    alternate: Option<&'static str>,
}

const CONTROL: Exchange = Exchange {
    name: CONTROL_EXCHANGE,
    kind: ExchangeKind::Topic,
    alternate: None,
};

const REPLIES: Exchange = Exchange {
    name: REPLIES_EXCHANGE,
    kind: ExchangeKind::Direct,
    alternate: None,
};

const DEAD_LETTERS: Exchange = Exchange {
    name: DEAD_LETTERS_EXCHANGE,
    kind: ExchangeKind::Headers,
    alternate: Some(UNCLAIMED_EXCHANGE),
};

const UNCLAIMED: Exchange = Exchange {
    name: UNCLAIMED_EXCHANGE,
    kind: ExchangeKind::Fanout,
    alternate: None,
};

/// All exchanges of the bridge's.
pub(crate) const EXCHANGES: [Exchange; 4] = [CONTROL, REPLIES, DEAD_LETTERS, UNCLAIMED];

/// Declares what all routes share but the parking queue: the exchanges and the reply queue.
///
/// The reply queue is a quorum queue, because a quorum queue keeps a message that its worker did not mark as
/// persistent.
pub(crate) async fn declare_shared(
    connection: &Connection,
    options: &Options,
) -> Result<(), Error> {
    let reply_queue = options.reply_queue.as_str();
    let expire = options.replies_expire.as_millis();
    declare_exchange(connection, &UNCLAIMED).await?;
    for exchange in [CONTROL, REPLIES, DEAD_LETTERS] {
        declare_exchange(connection, &exchange).await?;
    }
    let channel = connection.create_channel().await?;
    let mut arguments = quorum();
    // While AWS does not accept a reply, the broker delivers it again with every connection.
    let limits = [
        ("x-expires", u64::try_from(expire).unwrap_or(u64::MAX)),
        ("x-delivery-limit", NO_DELIVERY_LIMIT),
    ];
    arguments.extend(limits.map(|(name, value)| (name, number(value))));
    let durable = QueueDeclareOptions::durable();
    channel
        .queue_declare(short(reply_queue), durable, table(arguments))
        .await?;
    let ours = table(vec![
        ("x-match", text("all")),
        (REPLY_QUEUE, text(reply_queue)),
    ]);
    for (exchange, arguments) in [
        (REPLIES_EXCHANGE, FieldTable::default()),
        (DEAD_LETTERS_EXCHANGE, ours),
    ] {
        let queue = short(reply_queue);
        channel
            .queue_bind(
                queue.clone(),
                short(exchange),
                queue,
                QueueBindOptions::default(),
                arguments,
            )
            .await?;
    }
    channel.close(200, short("done")).await
}

/// Declares the parking queue, and binds it to the exchange for unclaimed dead letters. If an operator made that
/// exchange, the operator has bound the queue too, and the bridge may have no permission for it.
pub(crate) async fn declare_parking(connection: &Connection) -> Result<(), Error> {
    let exchange = declare_exchange(connection, &UNCLAIMED).await?;
    let mut arguments = quorum();
    // RabbitMQ 4 would drop a parked reply after 20 looks at it.
    arguments.push(("x-delivery-limit", number(NO_DELIVERY_LIMIT)));
    declare_or_find(connection, PARKING_QUEUE, table(arguments)).await?;
    match exchange {
        DeclareOutcome::Found => Ok(()),
        DeclareOutcome::Declared => {
            let channel = connection.create_channel().await?;
            channel
                .queue_bind(
                    short(PARKING_QUEUE),
                    short(UNCLAIMED_EXCHANGE),
                    short(""),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            channel.close(200, short("done")).await
        }
    }
}

/// Whether the bridge declared an exchange or a queue, or found that the operator had made it.
enum DeclareOutcome {
    Declared,
    Found,
}

async fn declare_exchange(
    connection: &Connection,
    exchange: &Exchange,
) -> Result<DeclareOutcome, Error> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let alternate = exchange
        .alternate
        .map(|name| ("alternate-exchange", text(name)));
    let arguments = table(alternate.into_iter().collect());
    let declared = channel
        .exchange_declare(
            short(exchange.name),
            exchange.kind.clone(),
            options,
            arguments,
        )
        .await;
    match declared {
        Ok(()) => {
            channel.close(200, short("done")).await?;
            Ok(DeclareOutcome::Declared)
        }
        // The operator may have made it and kept the permission.
        Err(error) if reply_code(&error) == Some(ACCESS_REFUSED) => {
            let channel = connection.create_channel().await?;
            let found = find_exchange(&channel, exchange.name).await;
            found.map_err(|_| error)?;
            channel.close(200, short("done")).await?;
            Ok(DeclareOutcome::Found)
        }
        Err(error) => Err(error),
    }
}

/// Checks that an exchange exists, of any type. An error closes the channel.
pub(crate) async fn find_exchange(channel: &Channel, name: &str) -> Result<(), Error> {
    let passive = ExchangeDeclareOptions {
        passive: true,
        durable: true,
        ..Default::default()
    };
    // The broker does not compare the type.
    let kind = ExchangeKind::Direct;
    channel
        .exchange_declare(short(name), kind, passive, FieldTable::default())
        .await
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
        // The broker refuses the declaration, or the operator's arguments differ. The queue only has to exist.
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

/// Declares a queue of tasks, or looks at it if the bridge does not declare it. An error closes the channel.
pub(crate) async fn inspect(
    channel: &Channel,
    queue: &QueueSpec,
) -> Result<QueueFacts, QueueError> {
    match &queue.declare {
        Some(arguments) => declare(channel, &queue.name, arguments).await,
        None => find_queue(channel, &queue.name).await,
    }
}

/// Looks at a queue without declaring it. An error closes the channel.
pub(crate) async fn find_queue(channel: &Channel, queue: &str) -> Result<QueueFacts, QueueError> {
    let passive = QueueDeclareOptions::durable().passive();
    declare_with(channel, queue, passive, FieldTable::default()).await
}

/// Declares a route's queue. The broker compares the arguments of a queue that exists. An error closes the channel.
pub(crate) async fn declare(
    channel: &Channel,
    queue: &str,
    arguments: &QueueArguments,
) -> Result<QueueFacts, QueueError> {
    let durable = QueueDeclareOptions::durable();
    declare_with(channel, queue, durable, route_queue(arguments)).await
}

async fn declare_with(
    channel: &Channel,
    queue: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> Result<QueueFacts, QueueError> {
    let answer = channel
        .queue_declare(short(queue), options, arguments)
        .await
        .map_err(|error| explain(queue, &error))?;
    Ok(QueueFacts {
        ready: answer.message_count().into(),
        consumers: answer.consumer_count().into(),
    })
}

/// The arguments of a route's queue. With at-least-once dead lettering, a quorum queue must refuse messages beyond its
/// limit, not drop them.
fn route_queue(declared: &QueueArguments) -> FieldTable {
    let mut arguments = quorum();
    arguments.push((
        "x-delivery-limit",
        number(declared.delivery_limit.unwrap_or(NO_DELIVERY_LIMIT)),
    ));
    if declared.dead_letters {
        arguments.extend([
            ("x-dead-letter-exchange", text(DEAD_LETTERS_EXCHANGE)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
    }
    table(arguments)
}

type Arguments = Vec<(&'static str, AMQPValue)>;

fn quorum() -> Arguments {
    vec![("x-queue-type", text("quorum"))]
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}

fn table(arguments: Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(short(name), value);
    }
    table
}

/// Whether the broker said that the queue or exchange does not exist.
pub(crate) fn is_missing(error: &Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Explains the broker's error about a queue.
pub(crate) fn explain(queue: &str, error: &Error) -> QueueError {
    let words = match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    };
    let refused = |words| QueueError::Refused {
        queue: queue.to_owned(),
        words,
    };
    match reply_code(error) {
        Some(ACCESS_REFUSED) => QueueError::Forbidden(words),
        Some(NOT_FOUND) if does_not_exist(&words) => QueueError::Missing(queue.to_owned()),
        Some(PRECONDITION_FAILED) => match difference(&words) {
            Some(difference) => QueueError::Conflict {
                queue: queue.to_owned(),
                difference: difference.to_owned(),
            },
            None => refused(words),
        },
        Some(NOT_FOUND) => refused(words),
        Some(RESOURCE_LOCKED) => QueueError::Locked(queue.to_owned()),
        _ => QueueError::Away(words),
    }
}

/// Whether the queue is not there, as in "NOT_FOUND - no queue 'q' in vhost '/'". The broker uses the code also for a queue that is
/// there and that it can't reach now: "home node 'n' of durable queue 'q' in vhost '/' is down or inaccessible".
fn does_not_exist(words: &str) -> bool {
    words.contains("no queue '")
}

/// The part that names the argument, from "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost
/// '/': received the value 'quorum' of type 'longstr' but current is none". Other texts with this code are no conflict: the limit
/// of queues in a vhost, for one.
fn difference(words: &str) -> Option<&str> {
    let (_, difference) = words.split_once("inequivalent arg ")?;
    Some(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_can_not_be_reached_is_not_missing() {
        assert!(does_not_exist("NOT_FOUND - no queue 'q' in vhost '/'"));
        for words in [
            "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible",
            "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout",
            "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart",
        ] {
            assert!(!does_not_exist(words), "{words}");
        }
    }

    #[test]
    fn a_conflict_names_the_argument() {
        let words = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q': received 'true' but current is 'false'";
        assert!(difference(words).is_some_and(|part| part.starts_with("'durable' for queue")));
        assert_eq!(
            difference("PRECONDITION_FAILED - queue limit in vhost"),
            None
        );
    }
}
