//! Bytes that are no AMQP, or AMQP that nobody should send.

use super::{
    Stage,
    raw::{
        HEADER, Raw, channel_close, channel_open, content, declare, frame, long, message, method,
        nack, publish, short, start_ok,
    },
};
use tokio::io::AsyncReadExt;

/// Arrays in arrays, as the value of one entry of a table.
pub fn nested(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..levels {
        value = [b"A", &long(&value)[..]].concat();
    }
    [&short("a")[..], &value].concat()
}

#[tokio::test]
async fn a_probe_that_speaks_another_protocol_gets_the_header_back() {
    let stage = Stage::new().await;
    let hello: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    for probe in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", hello] {
        let mut raw = Raw::silent(stage.port).await;
        raw.send(probe).await;
        let mut answer = [0; 8];
        raw.reading.read_exact(&mut answer).await.expect("8 bytes");
        assert_eq!(answer, HEADER);
        assert!(raw.next().await.is_none());
    }
    stage.survives(16).await;
    let log = stage.bridge.log();
    assert!(!log.contains("does not speak"), "nothing above debug");
}

#[tokio::test]
async fn what_cannot_be_read_ends_its_connection_alone() {
    let stage = Stage::new().await;
    let deep = nested(2_000);
    // More entries than a table may have.
    let wide: Vec<u8> = (0..14_000)
        .flat_map(|number| [&short(format!("{number:05}"))[..], b"V"].concat())
        .collect();
    let early: [&[u8]; 4] = [
        b"\x01\0\0\xff\xff\xff\xff",
        &[0xFF; 10_000],
        &start_ok(&nested(300), "guest", "guest"),
        &method(0, (10, 11), &[&[0xFF; 30]]),
    ];
    for bytes in early {
        let mut raw = Raw::silent(stage.port).await;
        raw.send(HEADER).await;
        raw.send(bytes).await;
        assert_ne!(raw.refused().await, 200);
    }
    let headers = [&[0x20, 0], &long(&deep)[..]].concat();
    let late: [(&[u8], u16); 10] = [
        (b"\x01\0\x01\xff\xff\xff\xff", 501),
        (&frame(1, 1, b""), 501),
        (&frame(7, 1, b""), 501),
        (&frame(8, 1, b"x"), 501),
        (&frame(3, 1, b"x"), 505),
        (&declare(1, "deep", &deep), 502),
        (
            &method(
                1,
                (50, 10),
                &[&[0, 0], &short(b"\xff\xfe"), &[0], &long("")],
            ),
            502,
        ),
        (
            &[
                &declare(1, "workers", b"")[..],
                &publish(1, "", "workers"),
                &content(1, 0, &headers),
            ]
            .concat(),
            406,
        ),
        (
            &[&publish(1, "", "q")[..], &content(1, u64::MAX, &[0, 0])].concat(),
            406,
        ),
        (&declare(1, "wide", &wide), 502),
    ];
    for (number, (bytes, code)) in late.into_iter().enumerate() {
        let mut raw = Raw::open(stage.port).await;
        raw.send(bytes).await;
        assert_eq!(raw.refused().await, code, "case {number}");
    }
    stage.survives(48).await;
}

#[tokio::test]
async fn floods_of_errors_are_survived_and_do_not_fill_the_log() {
    let stage = Stage::new().await;
    let mut raw = Raw::open(stage.port).await;
    for round in 0..3_000 {
        raw.send(&nack(1, 9, false)).await;
        raw.until((20, 40)).await;
        raw.send(&method(1, (20, 41), &[])).await;
        if round % 2 == 0 {
            raw.send(&[channel_open(1), channel_close(1)].concat())
                .await;
        }
        raw.send(&channel_open(1)).await;
    }
    let mut others = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::silent(stage.port).await;
        raw.send(HEADER).await;
        raw.send(&[1; 4_000]).await;
        others.push(raw);
    }
    stage.survives(32).await;
    let lines = stage.bridge.log().lines().count();
    assert!(lines < 1_000, "{lines} lines");
}

#[tokio::test]
async fn nobody_but_the_bridge_fills_its_queues() {
    let stage = Stage::new().await;
    for queue in ["payments", "activity-bridge.parked"] {
        let mut raw = Raw::open(stage.port).await;
        raw.send(&message(1, "", queue, b"forged")).await;
        assert_eq!(raw.refused().await, 403, "{queue}");
    }
    stage.survives(16).await;
}
