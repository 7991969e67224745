//! Each bound, reached by a client that does one thing for ever.

use super::{Client, World};
use crate::broker::{
    Inbound,
    endpoint::{
        content_header::ContentHeader, exchange::Name, frame::Kind, limits::Limits,
        properties_builder::PropertiesBuilder, queue_state::QueueKind,
    },
};
use amq_protocol::{
    protocol::{AMQPClass, basic, channel, queue},
    types::FieldTable,
};
use bytes::BytesMut;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

fn declare(client: &mut Client, world: &World, channel: u16, name: &str) {
    let declare = queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: true,
        arguments: FieldTable::default(),
    };
    let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
    client.method(world, channel, method);
}

fn bind(client: &mut Client, world: &World, name: &str, exchange: &str) {
    let bind = queue::Bind {
        queue: name.into(),
        exchange: exchange.into(),
        routing_key: "".into(),
        nowait: true,
        arguments: FieldTable::default(),
    };
    client.method(world, 1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
}

fn begin(client: &mut Client, world: &World, channel: u16, exchange: &str, key: &str) {
    let publish = basic::Publish {
        exchange: exchange.into(),
        routing_key: key.into(),
        mandatory: false,
        immediate: false,
    };
    let method = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
    client.method(world, channel, method);
}

fn publish(
    client: &mut Client,
    world: &World,
    (exchange, key): (&str, &str),
    properties: PropertiesBuilder,
    size: usize,
) {
    begin(client, world, 1, exchange, key);
    let header = ContentHeader::new(size as u64, properties.finish().expect("short"));
    let mut bytes = BytesMut::new();
    header.encode(1, &mut bytes).expect("short");
    client.bytes(world, &bytes);
    for part in vec![0; size].chunks(100_000) {
        client.frame(world, Kind::Body, 1, part);
    }
}

fn get(client: &mut Client, world: &World, queue: &str) {
    let get = basic::Get {
        queue: queue.into(),
        no_ack: false,
    };
    client.method(world, 1, AMQPClass::Basic(basic::AMQPMethod::Get(get)));
}

/// Whether channel 1 is open.
fn is_open(client: &Client, world: &World) -> bool {
    let id = client.id();
    world
        .switch
        .with(|state| state.connections[&id].channels.contains_key(&1))
}

fn unacked_bytes(client: &Client, world: &World) -> usize {
    let id = client.id();
    world
        .switch
        .with(|state| state.connections[&id].unacked_bytes)
}

#[test]
fn channels_whose_close_is_not_answered_are_bounded() {
    let world = World::new(Limits::default());
    let mut client = world.client();
    for number in 2..=255 {
        client.open_channel(&world, number);
        get(&mut client, &world, "none");
        let get = basic::Get {
            queue: "none".into(),
            no_ack: false,
        };
        let get = AMQPClass::Basic(basic::AMQPMethod::Get(get));
        client.method(&world, number, get);
        assert!(!client.session.is_closing(), "channel {number}");
    }
    client.open_channel(&world, 300);
    assert!(client.session.is_closing());
}

#[test]
fn unfinished_messages_of_all_channels_are_bounded_with_their_headers() {
    for (header_bytes, body) in [(0, 100_000), (100_000, 0)] {
        let world = World::new(Limits::default());
        let mut client = world.client();
        let mut channels = 1;
        while !client.session.is_closing() {
            if channels > 1 {
                client.open_channel(&world, channels);
            }
            begin(&mut client, &world, channels, "", "q");
            let table = [&[1, b'h', b'S'], &u32::to_be_bytes(header_bytes)[..]].concat();
            let table = [table, vec![0; header_bytes as usize]].concat();
            let length = u32::try_from(table.len()).expect("short").to_be_bytes();
            let properties = PropertiesBuilder::new().headers([&length, &table[..]].concat());
            let header = ContentHeader::new(1_000_000, properties.finish().expect("short"));
            let mut bytes = BytesMut::new();
            header.encode(channels, &mut bytes).expect("short");
            client.bytes(&world, &bytes);
            client.frame(&world, Kind::Body, channels, &vec![0; body]);
            channels += 1;
            assert!(channels < 50, "5 MB of headers or bodies are too many");
        }
        assert!(channels > 40, "only {channels} channels");
    }
}

#[test]
fn messages_between_workers_that_nobody_acknowledges_are_bounded() {
    let limits = Limits::default();
    let world = World::new(limits.clone());
    let mut client = world.client();
    declare(&mut client, &world, 1, "mine");
    let consume = basic::Consume {
        queue: "mine".into(),
        consumer_tag: "".into(),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: true,
        arguments: FieldTable::default(),
    };
    let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
    client.method(&world, 1, consume);
    for _ in 0..100 {
        publish(
            &mut client,
            &world,
            ("", "mine"),
            PropertiesBuilder::new(),
            200_000,
        );
        client.read(&world);
    }
    let bytes = unacked_bytes(&client, &world);
    assert!((4_000_000..5_000_000).contains(&bytes), "{bytes}");
    let waiting = world
        .switch
        .with(|state| state.queues["mine"].waiting.bytes());
    assert!(waiting <= limits.queue_bytes, "{waiting}");
    // Acknowledged, they make room for the others.
    let ack = basic::Ack {
        delivery_tag: 0,
        multiple: true,
    };
    client.method(&world, 1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    client.read(&world);
    let left = world
        .switch
        .with(|state| state.queues["mine"].waiting.bytes());
    assert!(left < waiting, "{left}");
}

#[test]
fn a_get_is_refused_to_a_client_that_acknowledges_nothing() {
    let world = World::new(Limits::default());
    let mut client = world.client();
    declare(&mut client, &world, 1, "mine");
    let mut gets = 0;
    while is_open(&client, &world) {
        publish(
            &mut client,
            &world,
            ("", "mine"),
            PropertiesBuilder::new(),
            200_000,
        );
        get(&mut client, &world, "mine");
        client.read(&world);
        gets += 1;
        assert!(gets < 50);
    }
    assert!(gets > 20, "only {gets}");
    assert_eq!(unacked_bytes(&client, &world), 0, "they came back");
}

#[test]
fn a_get_does_not_hand_out_a_task_that_has_expired() {
    let mut world = World::new(Limits::default());
    let mut client = world.client();
    let task = world.add_task(1, Some(Duration::from_secs(1)));
    // Time has come, and nothing has yet been done about it.
    world.now += Duration::from_secs(1);
    get(&mut client, &world, "payments");
    let out = world
        .switch
        .with(|state| state.locations.get(&task).cloned());
    assert!(
        matches!(
            out,
            Some(super::super::super::queue_state::Location::Waiting(..))
        ),
        "{out:?}"
    );
    world.wait(Duration::ZERO);
    let waiting = world
        .switch
        .with(|state| state.queues["payments"].waiting.len());
    assert_eq!(waiting, 0);
    let events = world.events();
    assert!(
        matches!(events[..], [Inbound::DeadLetter(..)]),
        "{events:?}"
    );
}

#[test]
fn clients_put_nothing_into_the_queue_of_parked_replies() {
    let parked = "activity-bridge.parked";
    let world = World::new(Limits::default());
    let mut direct = world.client();
    publish(
        &mut direct,
        &world,
        ("", parked),
        PropertiesBuilder::new(),
        1,
    );
    assert!(!is_open(&direct, &world));
    let mut bound = world.client();
    bind(&mut bound, &world, parked, "amq.fanout");
    assert!(!is_open(&bound, &world));
    let waiting = world
        .switch
        .with(|state| state.queues[parked].waiting.len());
    assert_eq!(waiting, 0);
}

#[test]
fn the_queues_of_all_workers_together_are_bounded() {
    let world = World::new(Limits::default());
    let mut clients: Vec<_> = (0..8).map(|_| world.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for queue in 0..64 {
            let name = format!("{number}.{queue}");
            declare(client, &world, 1, &name);
            bind(client, &world, &name, "amq.fanout");
        }
    }
    for _ in 0..5 {
        let properties = PropertiesBuilder::new();
        publish(
            &mut clients[0],
            &world,
            ("amq.fanout", ""),
            properties,
            1_000_000,
        );
    }
    let all: usize = world.switch.with(|state| {
        let own = state.queues.values();
        let own = own.filter(|queue| matches!(queue.kind, QueueKind::Own(_)));
        own.map(|queue| queue.waiting.bytes()).sum()
    });
    assert!(all <= (32 + 4) << 20, "{all}");
    assert!(all > 16 << 20, "{all} is too little");
}

#[test]
fn a_client_is_not_read_while_the_bridge_is_behind_with_its_events() {
    let mut world = World::new(Limits::default());
    let mut client = world.client();
    world.add_task(1, None);
    let close = channel::Close {
        reply_code: 200,
        reply_text: "".into(),
        class_id: 0,
        method_id: 0,
    };
    // A clean close is no failed delivery, so there is no limit on it.
    for _ in 0..10_000 {
        get(&mut client, &world, "payments");
        let close = channel::AMQPMethod::Close(close.clone());
        client.method(&world, 1, AMQPClass::Channel(close));
        client.open_channel(&world, 1);
        client.read(&world);
    }
    let events = world.events().len();
    assert!((9_000..=10_100).contains(&events), "{events}");
    client.resume(&world);
    let more = world.events().len();
    assert!(more > 1_000, "{more}");
}

#[test]
fn a_user_neither_sees_nor_settles_tasks_of_other_routes() {
    let mut world = World::new(Limits::default());
    let task = world.add_task(1, None);
    let mut holder = world.client();
    for now in [
        "it waits",
        "another process has taken it over",
        "it has ended",
    ] {
        match now {
            "it has ended" => world.switch.with(|state| state.end_task(task)),
            "another process has taken it over" => {
                get(&mut holder, &world, "payments");
                world.switch.with(|state| state.task_taken_over(task));
            }
            _ => {}
        }
        let mut stranger = world.client();
        let id = stranger.id();
        world.switch.with(|state| {
            let others: BTreeSet<Name> = ["mails".into()].into();
            let connection = state.connections.get_mut(&id).expect("open");
            connection.allowed = Some(Arc::new(others));
        });
        get(&mut stranger, &world, "payments");
        assert!(!is_open(&stranger, &world));
        stranger.open_channel(&world, 2);
        let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
        stranger.method(&world, 1, AMQPClass::Channel(ok));
        stranger.open_channel(&world, 1);
        assert!(is_open(&stranger, &world));
        let properties = PropertiesBuilder::new().correlation_id(task.reveal());
        publish(
            &mut stranger,
            &world,
            ("", "activity-bridge.replies.x"),
            properties,
            1,
        );
        assert!(!is_open(&stranger, &world), "{now}");
        let replies = world
            .switch
            .with(|state| state.connections[&id].open_replies.count());
        assert_eq!(replies, 0);
    }
    drop(world.events());
}

#[test]
fn what_a_client_does_not_read_is_bounded() {
    let limits = Limits::default();
    let world = World::new(limits.clone());
    let mut client = world.client();
    declare(&mut client, &world, 1, "mine");
    for _ in 0..4 {
        publish(
            &mut client,
            &world,
            ("", "mine"),
            PropertiesBuilder::new(),
            1_000_000,
        );
    }
    for _ in 0..10_000 {
        get(&mut client, &world, "mine");
    }
    let most = limits.outbox_bytes + limits.message_bytes;
    assert!(client.unread() <= most, "{}", client.unread());
}

/// The bytes of a connection's replies that the bridge has not finished with.
fn open_reply_bytes(client: &Client, world: &World) -> usize {
    let id = client.id();
    world
        .switch
        .with(|state| state.connections[&id].open_replies.bytes())
}

#[test]
fn replies_that_the_bridge_has_not_finished_with_are_bounded_in_bytes_and_stop_no_other_connection()
{
    let limits = Limits::default();
    let mut world = World::new(limits.clone());
    let reply = |client: &mut Client, world: &World, size| {
        let to = ("", "activity-bridge.replies.x");
        publish(client, world, to, PropertiesBuilder::new(), size);
    };
    let mut greedy: Vec<_> = (0..8).map(|_| world.client()).collect();
    for client in &mut greedy {
        for _ in 0..8 {
            reply(client, &world, 1_000_000);
        }
        let bytes = open_reply_bytes(client, &world);
        let most = limits.open_reply_bytes + limits.message_bytes;
        assert!((1..=most).contains(&bytes), "{bytes}");
    }
    let all: usize = greedy
        .iter()
        .map(|client| open_reply_bytes(client, &world))
        .sum();
    let most = limits.all_open_reply_bytes + greedy.len() * limits.message_bytes;
    assert!(all <= most, "{all}");
    let mut other = world.client();
    reply(&mut other, &world, 10);
    assert!(open_reply_bytes(&other, &world) > 0);
    // A client that comes again for each reply.
    let mut again: Vec<_> = (0..40).map(|_| world.client()).collect();
    for client in &mut again {
        reply(client, &world, 1_000_000);
    }
    let held = |world: &World| {
        let all = world.switch.with(|state| state.all_reply_bytes());
        all.load(Relaxed)
    };
    let all = held(&world);
    let most = 2 * limits.all_open_reply_bytes + limits.message_bytes;
    assert!(all <= most, "{all}");
    greedy.append(&mut again);
    for _ in 0..100 {
        drop(world.events());
        for client in &mut greedy {
            client.resume(&world);
        }
    }
    assert_eq!(world.replies, 8 * 8 + 1 + 40);
    assert_eq!(held(&world), 0);
}
