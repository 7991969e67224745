//! Methods to test with.

use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::{basic, channel, confirm, connection, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};

/// Every method that has a table, with this one.
pub(super) fn with_table(arguments: &FieldTable) -> Vec<AMQPClass> {
    let mut methods = connection_and_exchange(arguments);
    methods.extend(queue_and_basic(arguments));
    methods
}

fn connection_and_exchange(arguments: &FieldTable) -> Vec<AMQPClass> {
    let arguments = || arguments.clone();
    vec![
        AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
            version_minor: 9,
            server_properties: arguments(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
            ..Default::default()
        })),
        AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
            client_properties: arguments(),
            mechanism: "PLAIN".into(),
            response: LongString::from(vec![0, 0xff]),
            locale: "en_US".into(),
        })),
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: "e".into(),
            kind: "direct".into(),
            internal: true,
            arguments: arguments(),
            ..Default::default()
        })),
        AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
            destination: "de".into(),
            source: "s".into(),
            routing_key: "key".into(),
            nowait: true,
            arguments: arguments(),
        })),
        AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
            destination: "de".into(),
            source: "s".into(),
            routing_key: "key".into(),
            nowait: false,
            arguments: arguments(),
        })),
    ]
}

fn queue_and_basic(arguments: &FieldTable) -> Vec<AMQPClass> {
    let arguments = || arguments.clone();
    vec![
        AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
            queue: "q".into(),
            durable: true,
            arguments: arguments(),
            ..Default::default()
        })),
        AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: "q".into(),
            exchange: "ex".into(),
            routing_key: "key".into(),
            nowait: true,
            arguments: arguments(),
        })),
        AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
            queue: "q".into(),
            exchange: "ex".into(),
            routing_key: "key".into(),
            arguments: arguments(),
        })),
        AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            queue: "q".into(),
            consumer_tag: "tag".into(),
            no_ack: true,
            arguments: arguments(),
            ..Default::default()
        })),
    ]
}

/// Some methods without a table.
fn without_table() -> Vec<AMQPClass> {
    vec![
        AMQPClass::Connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
            channel_max: 255,
            frame_max: 131_072,
            heartbeat: 60,
        })),
        AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})),
        AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND".into(),
            class_id: 50,
            method_id: 10,
        })),
        AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select {
            nowait: true,
        })),
        AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
            exchange: "e".into(),
            routing_key: "ü".into(),
            mandatory: true,
            immediate: false,
        })),
        AMQPClass::Basic(basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: "tag".into(),
            delivery_tag: 7,
            redelivered: true,
            exchange: "".into(),
            routing_key: "q".into(),
        })),
        AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack {
            delivery_tag: 1,
            multiple: true,
            requeue: false,
        })),
    ]
}

pub(super) fn samples() -> Vec<AMQPClass> {
    let mut samples = with_table(&table(AMQPValue::LongString("v".into())));
    samples.extend(without_table());
    samples
}

/// A table with this value.
pub(super) fn table(value: AMQPValue) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("n".into(), value);
    table
}
