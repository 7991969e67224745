//! What clients send, chosen by bytes: any bytes are some sequence of operations.

use super::client::{Client, World};
use crate::broker::endpoint::{
    content_header::ContentHeader, custody_terms::ReturnCause, frame::Kind,
    properties_builder::PropertiesBuilder,
};
use crate::task::TaskId;
use amq_protocol::{
    protocol::{AMQPClass, basic, channel, confirm, connection, exchange, queue},
    types::{AMQPValue, FieldTable},
};
use bytes::BytesMut;
use std::time::Duration;

const QUEUES: [&str; 8] = [
    "payments",
    "q0",
    "q1",
    "q2",
    "",
    "amq.rabbitmq.reply-to",
    "activity-bridge.parked",
    "activity-bridge.replies.x",
];
const EXCHANGES: [&str; 8] = [
    "",
    "amq.fanout",
    "amq.topic",
    "amq.headers",
    "x0",
    "x1",
    "activity-bridge.control",
    "activity-bridge.replies",
];
const KINDS: [&str; 5] = ["direct", "fanout", "topic", "headers", "odd"];
const TAGS: [&str; 3] = ["t0", "t1", ""];
const SIZES: [usize; 5] = [0, 1, 1_000, 30_000, 200_000];

/// The bytes that choose. After the last one everything is 0.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[usize::from(self.byte()) % N]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }
}

/// Does the next operation of one client.
pub(super) fn operate(choices: &mut Choices<'_>, world: &mut World, clients: &mut [Client]) {
    let client = usize::from(choices.byte()) % clients.len();
    let client = &mut clients[client];
    let number = u16::from(choices.byte() % 4);
    let operation = choices.byte() % 32;
    match operation {
        0..=2 => client.open_channel(world, number),
        3 => client.frame(world, Kind::Method, number, &choices.bytes()),
        4 => client.frame(world, Kind::Header, number, &choices.bytes()),
        5 => client.frame(world, Kind::Body, number, &choices.bytes()),
        6 => client.bytes(world, &choices.bytes()),
        7 => {
            client.read(world);
            client.resume(world);
        }
        8 => {
            world.add_task(u128::from(choices.byte() % 16), expiry(choices));
        }
        9 => {
            let task = TaskId::from(u128::from(choices.byte() % 16));
            world.switch.with(|state| state.end_task(task));
        }
        10 => world.wait(Duration::from_millis(choices.of([1, 99, 100, 5_000]))),
        11 => drop(world.events()),
        12 => {
            client.leave(world, choices.of([ReturnCause::Lost, ReturnCause::Closed]));
            *client = world.client();
        }
        13..=17 => publish(choices, world, client, number),
        _ => {
            let method = method(choices, operation);
            client.method(world, number, method);
        }
    }
    if client.session.is_closing() {
        client.leave(world, ReturnCause::Lost);
        *client = world.client();
    }
}

fn expiry(choices: &mut Choices<'_>) -> Option<Duration> {
    choices.flag().then_some(Duration::from_secs(1))
}

/// A message, whole or in part.
fn publish(choices: &mut Choices<'_>, world: &World, client: &mut Client, number: u16) {
    let publish = basic::Publish {
        exchange: choices.of(EXCHANGES).into(),
        routing_key: choices.of(QUEUES).into(),
        mandatory: choices.flag(),
        immediate: false,
    };
    let method = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
    client.method(world, number, method);
    let task = TaskId::from(u128::from(choices.byte() % 20)).reveal();
    let kind = choices.of(["", "heartbeat", "failed"]);
    let properties = PropertiesBuilder::new().correlation_id(task).kind(kind);
    let size = choices.of(SIZES);
    let header = ContentHeader::new(size as u64, properties.finish().expect("short"));
    let parts = choices.byte() % 8;
    if parts == 0 {
        return;
    }
    let mut bytes = BytesMut::new();
    header.encode(number, &mut bytes).expect("short");
    client.bytes(world, &bytes);
    let body = vec![0; if parts == 1 { size / 2 } else { size }];
    for part in body.chunks(100_000) {
        client.frame(world, Kind::Body, number, part);
    }
}

fn method(choices: &mut Choices<'_>, operation: u8) -> AMQPClass {
    match operation {
        18 => AMQPClass::Channel(match choices.flag() {
            true => channel::AMQPMethod::CloseOk(channel::CloseOk {}),
            false => channel::AMQPMethod::Close(channel::Close {
                reply_code: 200,
                reply_text: "".into(),
                class_id: 0,
                method_id: 0,
            }),
        }),
        19 => AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select {
            nowait: choices.flag(),
        })),
        20 => AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: 200,
            reply_text: "".into(),
            class_id: 0,
            method_id: 0,
        })),
        21 | 22 => AMQPClass::Queue(queue_method(choices)),
        23 | 24 => AMQPClass::Exchange(exchange_method(choices)),
        _ => AMQPClass::Basic(basic_method(choices)),
    }
}

/// The arguments with which a queue is always declared.
fn arguments_of(queue: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    let of_queue = match queue {
        "q1" => vec![
            ("x-expires", AMQPValue::LongInt(1_500)),
            ("x-message-ttl", AMQPValue::LongInt(0)),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ],
        "q2" => vec![
            ("x-max-length", AMQPValue::LongInt(2)),
            ("x-overflow", AMQPValue::LongString("reject-publish".into())),
        ],
        _ => Vec::new(),
    };
    for (name, value) in of_queue {
        arguments.insert(name.into(), value);
    }
    arguments
}

fn queue_method(choices: &mut Choices<'_>) -> queue::AMQPMethod {
    use queue::AMQPMethod as M;
    let queue = choices.of(QUEUES);
    let arguments = arguments_of(queue);
    let queue = queue.into();
    match choices.byte() % 6 {
        0 => M::Purge(queue::Purge {
            queue,
            nowait: choices.flag(),
        }),
        1 => M::Delete(queue::Delete {
            queue,
            if_unused: choices.flag(),
            if_empty: choices.flag(),
            nowait: choices.flag(),
        }),
        2 => M::Bind(queue::Bind {
            queue,
            exchange: choices.of(EXCHANGES).into(),
            routing_key: choices.of(["#", "*.#", "q0"]).into(),
            nowait: choices.flag(),
            arguments: FieldTable::default(),
        }),
        3 => M::Unbind(queue::Unbind {
            queue,
            exchange: choices.of(EXCHANGES).into(),
            routing_key: choices.of(["#", "*.#", "q0"]).into(),
            arguments: FieldTable::default(),
        }),
        _ => M::Declare(queue::Declare {
            queue,
            passive: choices.byte() % 8 == 1,
            durable: choices.byte() % 8 == 1,
            exclusive: choices.flag(),
            auto_delete: choices.flag(),
            nowait: choices.flag(),
            arguments,
        }),
    }
}

fn exchange_method(choices: &mut Choices<'_>) -> exchange::AMQPMethod {
    use exchange::AMQPMethod as M;
    let name = choices.of(EXCHANGES).into();
    match choices.byte() % 4 {
        0 => M::Delete(exchange::Delete {
            exchange: name,
            if_unused: choices.flag(),
            nowait: choices.flag(),
        }),
        1 => M::Bind(exchange::Bind {
            destination: name,
            source: choices.of(EXCHANGES).into(),
            routing_key: choices.of(["#", "q0"]).into(),
            nowait: choices.flag(),
            arguments: FieldTable::default(),
        }),
        2 => M::Unbind(exchange::Unbind {
            destination: name,
            source: choices.of(EXCHANGES).into(),
            routing_key: choices.of(["#", "q0"]).into(),
            nowait: choices.flag(),
            arguments: FieldTable::default(),
        }),
        _ => M::Declare(exchange::Declare {
            exchange: name,
            kind: choices.of(KINDS).into(),
            passive: choices.byte() % 8 == 1,
            durable: choices.flag(),
            auto_delete: choices.flag(),
            internal: choices.byte() % 8 == 1,
            nowait: choices.flag(),
            arguments: FieldTable::default(),
        }),
    }
}

fn basic_method(choices: &mut Choices<'_>) -> basic::AMQPMethod {
    use basic::AMQPMethod as M;
    let tag = u64::from(choices.byte() % 6);
    match choices.byte() % 12 {
        0 => M::Qos(basic::Qos {
            prefetch_count: u16::from(choices.byte() % 4),
            global: choices.flag(),
        }),
        1 => M::Cancel(basic::Cancel {
            consumer_tag: choices.of(TAGS).into(),
            nowait: choices.flag(),
        }),
        2 | 3 => M::Ack(basic::Ack {
            delivery_tag: tag,
            multiple: choices.flag(),
        }),
        4 | 5 => M::Nack(basic::Nack {
            delivery_tag: tag,
            multiple: choices.flag(),
            requeue: choices.flag(),
        }),
        6 => M::Reject(basic::Reject {
            delivery_tag: tag,
            requeue: choices.flag(),
        }),
        7 => M::Recover(basic::Recover { requeue: true }),
        8 | 9 => M::Get(basic::Get {
            queue: choices.of(QUEUES).into(),
            no_ack: choices.byte() % 8 == 1,
        }),
        _ => M::Consume(basic::Consume {
            queue: choices.of(QUEUES).into(),
            consumer_tag: choices.of(TAGS).into(),
            no_local: false,
            no_ack: choices.flag(),
            exclusive: choices.byte() % 8 == 1,
            nowait: choices.flag(),
            arguments: FieldTable::default(),
        }),
    }
}
