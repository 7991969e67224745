//! Clients that begin and do not go on.

use super::{
    Stage,
    raw::{Raw, bind, channel_open, consume, content, declare, frame, message, publish},
};
use std::time::Duration;

#[tokio::test]
async fn half_messages_on_many_channels_are_bounded() {
    let stage = Stage::new().await;
    let half = vec![0; 100_000];
    let mut all = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::open(stage.port).await;
        for channel in 2..=250 {
            let begun = [
                channel_open(channel),
                publish(channel, "", "q"),
                content(channel, 1_000_000, &[0, 0]),
                frame(3, channel, &half),
            ];
            raw.send(&begun.concat()).await;
        }
        assert_eq!(raw.refused().await, 506);
        all.push(raw);
    }
    stage.survives(48).await;
}

#[tokio::test]
async fn readers_that_stop_are_bounded_and_hold_up_nobody() {
    let stage = Stage::new().await;
    let mut stopped = Vec::new();
    for number in 0..20 {
        let mut raw = Raw::open(stage.port).await;
        let queue = format!("q{number}");
        let begun = [
            declare(1, &queue, b""),
            bind(1, &queue, "amq.fanout", ""),
            consume(1, &queue),
        ];
        raw.send(&begun.concat()).await;
        raw.until((60, 21)).await;
        stopped.push(raw);
    }
    let mut publisher = Raw::open(stage.port).await;
    // 200 MB for each.
    let one = message(1, "amq.fanout", "", &vec![b'x'; 100_000]);
    for _ in 0..2_000 {
        assert!(publisher.send_for(&one, Duration::from_secs(10)).await);
    }
    // Each has up to 4 MiB in its queue, which they share, and up to 2 MiB before its socket.
    stage.survives(96).await;
}
