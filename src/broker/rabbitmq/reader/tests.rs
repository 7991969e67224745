//! Frames to what the bridge understands, without a socket.

use super::{
    assembly::{Assembly, Message},
    convert::inbound,
};
use crate::{
    broker::{
        Inbound, Receipt,
        amqp::{
            frame::{Frame, Kind},
            properties_builder::PropertiesBuilder,
            table_builder::TableBuilder,
        },
    },
    task::{Death, HeaderValue},
};
use bytes::Bytes;

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

/// The message that these frames make.
fn assembled(frames: &[Frame]) -> Result<Option<Message>, String> {
    let mut assembly = Assembly::default();
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        assert_eq!(assembly.take(frame)?, None);
    }
    assembly.take(last)
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
        let taken: Result<Vec<_>, _> = frames.iter().map(|frame| assembly.take(frame)).collect();
        assert!(taken.is_err(), "{frames:?}");
    }
}

#[test]
fn an_announced_size_takes_no_memory_beforehand() {
    let mut assembly = Assembly::default();
    assembly.take(&deliver(b"", b"q")).unwrap();
    assembly.take(&header(u64::MAX, &[0, 0])).unwrap();
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
fn a_close_or_a_cancel_of_the_broker_ends_the_connection_with_its_words() {
    let close = [&[0, 20, 0, 40, 1, 0x96][..], &short(b"NOPE"), &[0; 4]].concat();
    let cancel = [&[0, 60, 0, 30][..], &short(b"t"), &[1]].concat();
    for (payload, why) in [
        (close, "406 NOPE"),
        (cancel, "the broker ended the consumer of replies"),
    ] {
        assert_eq!(
            assembled(&[frame(Kind::Method, payload)]),
            Err(why.to_owned())
        );
    }
}
