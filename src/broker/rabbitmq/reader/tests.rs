//! Frames to what the bridge understands, without a socket.

use super::{
    assembly::{Assembly, Message, Taken},
    consumer::Consumer,
    convert::inbound,
    held::{HeldBytes, Need},
    receipt::Unacknowledged,
};
use crate::{
    broker::{
        Acknowledge, Inbound, Receipt,
        amqp::{
            frame::{self, Frame, Kind},
            method,
            outbox::Outbox,
            properties_builder::PropertiesBuilder,
            table_builder::TableBuilder,
        },
        rabbitmq::{access::Access, options::Options, settings::RabbitMqConfig},
    },
    task::{Death, HeaderValue},
    util::supervise::Supervisor,
};
use amq_protocol::protocol::{
    AMQPClass, basic::AMQPMethod as Basic, channel::AMQPMethod as Channel,
};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use std::{sync::Arc, time::Duration};

const LATIN_1: &[u8] = b"Soci\xe9t\xe9";

fn frame(kind: Kind, payload: impl AsRef<[u8]>) -> Frame {
    Frame {
        kind,
        channel: 1,
        payload: Bytes::copy_from_slice(payload.as_ref()),
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn deliver(exchange: &[u8], routing_key: &[u8]) -> Frame {
    let ids: &[u8] = &[0, 60, 0, 60];
    let arguments = [short(b"t"), vec![0, 0, 0, 0, 0, 0, 0, 7, 0]].concat();
    frame(
        Kind::Method,
        [ids, &arguments, &short(exchange), &short(routing_key)].concat(),
    )
}

fn header(size: u64, raw: &[u8]) -> Frame {
    frame(
        Kind::Header,
        [&[0, 60, 0, 0][..], &size.to_be_bytes(), raw].concat(),
    )
}

fn take(assembly: &mut Assembly, frame: &Frame) -> Result<Taken, String> {
    assembly.take(frame, |need| Arc::<HeldBytes>::default().take(need))
}

/// The message that these frames make.
fn assembled(frames: &[Frame]) -> Result<Option<Message>, String> {
    let mut assembly = Assembly::default();
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        assert!(matches!(take(&mut assembly, frame)?, Taken::Nothing));
    }
    match take(&mut assembly, last)? {
        Taken::Message(message, _) => Ok(Some(message)),
        Taken::Nothing => Ok(None),
        other => panic!("{other:?}"),
    }
}

fn read(exchange: &[u8], raw: &[u8]) -> Inbound {
    let frames = [deliver(exchange, LATIN_1), header(0, raw)];
    let message = assembled(&frames).unwrap().unwrap();
    assert_eq!(message.tag, 7);
    inbound(message, Receipt::none())
}

#[test]
fn a_body_is_put_together_and_must_have_the_size_that_its_header_says() {
    let frames = |last: &str| {
        [
            deliver(b"", b"q"),
            header(5, &[0, 0]),
            frame(Kind::Body, "abc"),
            frame(Kind::Body, last),
        ]
    };
    let whole = assembled(&frames("de")).unwrap().unwrap();
    assert_eq!(whole.body, "abcde");
    assert_eq!(assembled(&frames("d")), Ok(None));
    assert!(assembled(&frames("def")).is_err());
}

#[test]
fn frames_out_of_order_end_the_connection() {
    let [method, header, body] = [
        deliver(b"", b"q"),
        header(1, &[0, 0]),
        frame(Kind::Body, "a"),
    ];
    for frames in [
        vec![header.clone()],
        vec![body.clone()],
        vec![method.clone(), body],
        vec![method.clone(), method.clone()],
        vec![method.clone(), header.clone(), method],
    ] {
        let mut assembly = Assembly::default();
        let taken: Result<Vec<_>, _> = frames
            .iter()
            .map(|frame| take(&mut assembly, frame))
            .collect();
        assert!(taken.is_err(), "{frames:?}");
    }
}

#[test]
fn an_announced_size_takes_no_memory_beforehand() {
    let mut assembly = Assembly::default();
    take(&mut assembly, &deliver(b"", b"q")).unwrap();
    take(&mut assembly, &header(u64::MAX, &[0, 0])).unwrap();
    let message = assembled(&[deliver(b"", b"q"), header(0, &[0, 0])]);
    assert!(message.unwrap().unwrap().body.capacity() < 1 << 20);
}

#[test]
fn texts_in_any_encoding_are_read() {
    let headers = TableBuilder::new().text(LATIN_1, LATIN_1).finish().unwrap();
    let properties = PropertiesBuilder::new()
        .app_id(LATIN_1)
        .kind(LATIN_1)
        .correlation_id("1")
        .headers(headers);
    let Inbound::Reply(reply) = read(b"", properties.finish().unwrap().raw()) else {
        panic!("a reply");
    };
    assert_eq!(reply.correlation_id.as_deref(), Some("1"));
    assert_eq!(reply.kind.as_deref(), Some("Soci\u{fffd}t\u{fffd}"));
    assert_eq!(reply.headers.len(), 1);
}

#[test]
fn headers_as_deep_as_a_frame_allows_are_left_out_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    let reply = thread.spawn(|| {
        let mut nested = Vec::new();
        for level in 0..26_000_u32 {
            nested.extend_from_slice(b"A");
            nested.extend_from_slice(&((26_000 - level - 1) * 5).to_be_bytes());
        }
        let table = [b"\x01h", &nested[..], b"\x04shopS\0\0\0\x02A1"].concat();
        let length = u32::try_from(table.len()).unwrap().to_be_bytes();
        read(b"", &[&[0x20, 0], &length[..], &table].concat())
    });
    let Inbound::Reply(reply) = reply.unwrap().join().unwrap() else {
        panic!("a reply");
    };
    assert_eq!(
        reply.headers,
        [("shop".to_owned(), HeaderValue::Text("A1".to_owned()))]
    );
}

#[test]
fn the_newest_death_counts_and_only_where_the_broker_wrote_it() {
    let death = TableBuilder::new()
        .text("reason", "expired")
        .text("queue", "payments");
    let death = death.finish().unwrap();
    let length = u32::try_from(death.len() + 1).unwrap().to_be_bytes();
    let deaths = [b"A", &length[..], b"F", &death].concat();
    let headers = TableBuilder::new()
        .text("x-first-death-reason", "rejected")
        .text("x-first-death-queue", "mails")
        .raw("x-death", &deaths);
    let properties = PropertiesBuilder::new().headers(headers.finish().unwrap());
    let properties = properties.finish().unwrap();
    let Inbound::DeadLetter(dead, _) = read(b"activity-bridge.dead-letters", properties.raw())
    else {
        panic!("a dead dead");
    };
    assert_eq!(
        (dead.death, dead.queue.as_str()),
        (Death::Expired, "payments")
    );
    for exchange in ["", "activity-bridge.replies"] {
        assert!(matches!(
            read(exchange.as_bytes(), properties.raw()),
            Inbound::Reply(_)
        ));
    }
}

#[test]
fn a_cancel_of_the_broker_ends_the_connection_and_a_close_only_the_channel() {
    let close = [&[0, 20, 0, 40, 1, 0x96][..], &short(b"NOPE"), &[0; 4]].concat();
    let cancel = [&[0, 60, 0, 30][..], &short(b"t"), &[1]].concat();
    let taken = take(&mut Assembly::default(), &frame(Kind::Method, close)).unwrap();
    assert!(matches!(taken, Taken::ChannelClosed { code: 406, why } if why == "NOPE"));
    let cancelled = take(&mut Assembly::default(), &frame(Kind::Method, cancel));
    assert_eq!(
        cancelled.unwrap_err(),
        "the broker ended the consumer of replies"
    );
}

#[test]
fn a_body_without_room_is_skipped_and_the_next_message_is_read() {
    let mut assembly = Assembly::default();
    assert!(matches!(
        take(&mut assembly, &deliver(b"", b"q")),
        Ok(Taken::Nothing)
    ));
    let refused = assembly.take(&header(5, &[0, 0]), |_| None);
    let expected = Need::of(19, false);
    assert!(matches!(refused, Ok(Taken::NoRoom { tag: 7, need }) if need == expected));
    for body in ["abc", "de"] {
        let skipped = take(&mut assembly, &frame(Kind::Body, body));
        assert!(matches!(skipped, Ok(Taken::Nothing)));
    }
    take(&mut assembly, &deliver(b"", b"q")).unwrap();
    let next = take(&mut assembly, &header(0, &[0, 0]));
    assert!(matches!(next, Ok(Taken::Message(..))));
}

#[test]
fn properties_that_no_client_can_write_count_as_none() {
    let Inbound::Reply(reply) = read(b"", &[0xff, 0xff, 1]) else {
        panic!("a reply");
    };
    assert_eq!((reply.correlation_id, reply.headers), (None, Vec::new()));
}

/// What a consumer has written since the last look, as the names of methods and the numbers that matter.
fn written(outbox: &Outbox) -> Vec<String> {
    let mut written = Vec::new();
    let mut bytes = BytesMut::from(&outbox.take().now_or_never().flatten().unwrap_or_default()[..]);
    while let Some(frame) = frame::decode(&mut bytes, 131_072).unwrap() {
        written.push(match method::decode(&frame.payload).unwrap() {
            AMQPClass::Basic(Basic::Qos(qos)) => format!("qos {}", qos.prefetch_count),
            AMQPClass::Basic(Basic::Consume(consume)) => {
                format!("consume {}", consume.consumer_tag)
            }
            AMQPClass::Basic(Basic::Reject(reject)) => {
                format!("reject {} {}", reject.delivery_tag, reject.requeue)
            }
            AMQPClass::Basic(Basic::Ack(ack)) => format!("ack {}", ack.delivery_tag),
            AMQPClass::Channel(Channel::CloseOk(_)) => "close-ok".to_owned(),
            AMQPClass::Channel(Channel::Open(_)) => "open".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    written
}

fn consumer() -> (Consumer, Arc<Outbox>) {
    let outbox = Arc::<Outbox>::default();
    let options = Options {
        access: Access::new(RabbitMqConfig::at(Vec::new())),
        identity: String::new(),
        reply_queue: "replies".to_owned(),
        replies_expire: Duration::ZERO,
        prefetch: 200,
        supervisor: Supervisor::default(),
    };
    (Consumer::started(&options, Arc::clone(&outbox)), outbox)
}

#[tokio::test]
async fn replies_without_room_wait_without_their_bodies_and_come_again_when_there_is_room() {
    let (mut consumer, outbox) = consumer();
    let held = Arc::<HeldBytes>::default();
    let large = Need::of(20 << 20, false);
    let first = held.take(large).unwrap();
    for tag in [7, 8] {
        consumer.skip(tag, large);
    }
    consumer.put_back(&held);
    assert!(consumer.skipped_fits(&held).now_or_never().is_none());
    assert_eq!(written(&outbox), [""; 0], "it would come again at once");
    drop(first);
    consumer.skipped_fits(&held).await;
    consumer.put_back(&held);
    assert_eq!(written(&outbox), ["reject 7 true"], "one at a time");
    assert!(consumer.has_skipped());
    let soon = consumer.skipped_fits(&held).now_or_never();
    assert!(soon.is_none(), "the room is for the one that comes again");
    let second = held.take(large).unwrap();
    consumer.came();
    assert!(consumer.skipped_fits(&held).now_or_never().is_none());
    drop(second);
    consumer.put_back(&held);
    assert_eq!(written(&outbox), ["reject 8 true"]);
    assert!(!consumer.has_skipped());
}

#[tokio::test]
async fn a_large_reply_and_the_smallest_ones_are_put_back_first() {
    let (mut consumer, outbox) = consumer();
    let held = Arc::<HeldBytes>::default();
    let results: Vec<_> = std::iter::from_fn(|| held.take(Need::of(256_000, false))).collect();
    let large = held.take(Need::of(20 << 20, false)).unwrap();
    for (tag, size) in [(1, 20 << 20), (2, 9 << 20), (3, 7 << 20), (4, 256_000)] {
        consumer.skip(tag, Need::of(size, false));
    }
    assert!(consumer.skipped_fits(&held).now_or_never().is_none());
    drop(large);
    consumer.skipped_fits(&held).await;
    consumer.put_back(&held);
    assert_eq!(written(&outbox), ["reject 1 true"], "one large one");
    let _large = held.take(Need::of(20 << 20, false)).unwrap();
    consumer.came();
    assert!(consumer.skipped_fits(&held).now_or_never().is_none());
    drop(results);
    consumer.skipped_fits(&held).await;
    consumer.put_back(&held);
    assert_eq!(written(&outbox), ["reject 4 true", "reject 3 true"]);
}

/// A skipped reply keeps its place in the prefetch until it is put back.
#[test]
fn more_skipped_replies_than_the_prefetch_leave_places_for_others() {
    let (mut consumer, outbox) = consumer();
    // The number of replies that can still come, beside one for each of 100 tasks.
    let (mut places, mut skipped, mut consumers) = (200 - 100, 0, 0);
    while places > skipped {
        consumer.skip(skipped, Need::of(5_000, false));
        skipped += 1;
        if let [qos, consume] = &written(&outbox)[..] {
            consumers += 1;
            assert_eq!(*consume, format!("consume activity-bridge.{consumers}"));
            let more = qos.strip_prefix("qos ").unwrap();
            places += more.parse::<u64>().unwrap();
        }
    }
    assert!((65_535..131_070).contains(&skipped), "{skipped}");
    assert!(consumers < 20, "{consumers}");
    // Those that are put back leave their places.
    consumer.put_back(&Arc::<HeldBytes>::default());
    let written = written(&outbox);
    assert!(written.len() > 2_000);
    assert!(written.iter().all(|line| line.starts_with("reject")));
    consumer.skip(0, Need::of(5_000, false));
    assert_eq!(self::written(&outbox), [""; 0]);
}

#[test]
fn the_prefetch_grows_with_the_tasks_in_flight() {
    let (mut consumer, outbox) = consumer();
    consumer.widen(200);
    assert_eq!(written(&outbox), [""; 0]);
    consumer.widen(201);
    let wider = ["qos 100", "consume activity-bridge.1"];
    assert_eq!(written(&outbox), wider, "half as many again");
    consumer.widen(300);
    assert_eq!(written(&outbox), [""; 0]);
    consumer.widen(1_000);
    let wider = ["qos 700", "consume activity-bridge.2"];
    assert_eq!(written(&outbox), wider);
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_opened_again_after_a_timeout_but_not_again_and_again() {
    let (mut consumer, outbox) = consumer();
    let held = Arc::<HeldBytes>::default();
    let old = Unacknowledged {
        tag: 7,
        outbox: Arc::clone(&outbox),
        is_usable: consumer.is_usable(),
        _share: held.take(Need::of(1, false)).unwrap(),
    };
    consumer.reopen(406, "timeout").unwrap();
    let opened = ["close-ok", "open", "qos 200", "consume activity-bridge.1"];
    assert_eq!(written(&outbox), opened);
    // Its tag belongs to nothing on the new channel.
    assert!(!old.ack().await);
    assert_eq!(written(&outbox), [""; 0]);
    // RabbitMQ may close the same channel twice, before it knows that it is closed.
    consumer.reopen(406, "timeout").unwrap();
    assert_eq!(written(&outbox), [""; 0]);
    consumer.opened();
    assert_eq!(
        consumer.reopen(406, "timeout"),
        Err("406 timeout".to_owned())
    );
    tokio::time::advance(Duration::from_secs(60)).await;
    consumer.reopen(406, "timeout").unwrap();
    consumer.opened();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(consumer.reopen(404, "gone"), Err("404 gone".to_owned()));
}
