//! Much of everything: connections, messages, methods.

use super::{
    Stage,
    raw::{
        HEADER, Raw, bind, channel_close, channel_open, consume, declare, get, message, nack,
        start_ok,
    },
};
use activity_sim::TaskState;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// A connection that says a part of the handshake and then nothing. `None` if the endpoint was too busy for it.
async fn lingering(port: u16, number: usize) -> Option<TcpStream> {
    let connecting = TcpStream::connect(("127.0.0.1", port));
    let mut stream = timeout(Duration::from_secs(4), connecting)
        .await
        .ok()?
        .ok()?;
    let start = start_ok(b"", "guest", "guest");
    let said: &[u8] = match number % 5 {
        0 => b"",
        1 => HEADER,
        2 => &[HEADER, &start[..20]].concat(),
        3 => b"GET / HTTP/1.1\r\n\r\n",
        _ => b"\x16\x03\x01",
    };
    stream.write_all(said).await.ok()?;
    Some(stream)
}

#[tokio::test]
async fn ten_thousand_connections_that_linger_lock_nobody_out() {
    let stage = Stage::new().await;
    let port = stage.port;
    let at_once = Arc::new(Semaphore::new(2_000));
    let mut flood = JoinSet::new();
    for number in 0..10_000 {
        let at_once = Arc::clone(&at_once);
        flood.spawn(async move {
            let _permit = at_once.acquire().await.ok()?;
            lingering(port, number).await
        });
    }
    sleep(Duration::from_secs(1)).await;
    stage.assert_well().await;
    let mut open = Vec::new();
    while let Some(stream) = flood.join_next().await {
        open.extend(stream.expect("no panic"));
    }
    assert!(open.len() > 1_000, "{} connections", open.len());
    stage.survives(64).await;
    drop(open);
    // A new worker comes in as well.
    drop(Raw::open(port).await);
}

#[tokio::test]
async fn workers_within_the_limit_are_cheap_and_those_above_it_are_told() {
    let stage = Stage::with("max_connections = 500", "").await;
    let mut all = Vec::new();
    for _ in 0..499 {
        all.push(Raw::open(stage.port).await);
    }
    let mut one_more = Raw::silent(stage.port).await;
    one_more.send(HEADER).await;
    one_more.until((10, 10)).await;
    one_more.send(&start_ok(b"", "guest", "guest")).await;
    let rest = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\0\0\0\x02\0\0\0\0\xce\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce";
    one_more.send(rest).await;
    assert_eq!(one_more.refused().await, 530);
    stage.survives(32).await;
}

#[tokio::test]
async fn queues_without_readers_and_gets_without_acknowledgements_are_bounded() {
    let stage = Stage::new().await;
    let mut raw = Raw::open(stage.port).await;
    raw.send(&declare(1, "mine", b"")).await;
    // 400 MB.
    let body = vec![b'x'; 100_000];
    let one = message(1, "", "mine", &body);
    for _ in 0..4_000 {
        raw.send(&one).await;
    }
    stage.survives(32).await;
    let pairs = [&get(1, "mine")[..], &one].concat();
    for _ in 0..30 {
        raw.send(&pairs).await;
        raw.until((60, 71)).await;
    }
    raw.send(&get(1, "mine").repeat(30)).await;
    assert_eq!(raw.refused().await, 506);
    // Small messages keep nothing of the large ones beside them alive.
    raw.send(&[&close_ok()[..], &channel_open(1)].concat())
        .await;
    let pair = [
        &message(1, "", "mine", b"")[..],
        &message(1, "", "none", &body),
    ]
    .concat();
    for _ in 0..2_000 {
        raw.send(&pair).await;
    }
    stage.survives(32).await;
}

/// `channel.close-ok`.
fn close_ok() -> Vec<u8> {
    super::raw::method(1, (20, 41), &[])
}

#[tokio::test]
async fn floods_of_methods_whose_answers_nobody_reads_are_bounded() {
    let stage = Stage::new().await;
    let all = [
        declare(1, "mine", b""),
        get(1, "mine"),
        [channel_open(2), channel_close(2)].concat(),
        bind(1, "mine", "activity-bridge.control", "#"),
    ];
    let mut silent = Vec::new();
    for methods in all {
        let mut raw = Raw::open(stage.port).await;
        raw.send(&declare(1, "mine", b"")).await;
        // Up to 20 MB, or as much as the endpoint takes while it writes what nobody reads.
        let many = methods.repeat(20_000_000 / methods.len());
        raw.send_for(&many, Duration::from_secs(3)).await;
        silent.push(raw);
    }
    stage.survives(32).await;
}

#[tokio::test]
async fn tasks_that_are_fetched_and_dropped_for_ever_come_to_their_worker_or_their_end() {
    let stage = Stage::new().await;
    let mut raw = Raw::open(stage.port).await;
    raw.send(&consume(1, "payments")).await;
    raw.until((60, 21)).await;
    let cycle = [get(2, "payments"), channel_close(2), channel_open(2)].concat();
    let (mut reading, mut writing) = (raw.reading, raw.writing);
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    let first = channel_open(2);
    let attack = tokio::spawn(async move {
        let many = cycle.repeat(200);
        writing.write_all(&first).await.ok();
        while writing.write_all(&many).await.is_ok() {}
    });
    // The consumer on channel 1 holds one of them for ever.
    let ids = stage.world.schedule("payments", 20);
    let mut done = 0;
    for id in &ids {
        let closed = timeout(Duration::from_secs(5), stage.world.closed(id)).await;
        done += usize::from(closed.is_ok_and(|task| task.state == TaskState::Completed));
        if done == ids.len() - 1 {
            break;
        }
    }
    assert!(done >= ids.len() - 2, "{done} are done");
    attack.abort();
    drop(attack.await);
    reader.abort();
    drop(reader.await);
    stage.survives(48).await;
}

#[tokio::test]
async fn a_task_that_is_returned_for_ever_does_not_hold_up_the_others() {
    let stage = Stage::new().await;
    let mut raw = Raw::open(stage.port).await;
    raw.send(&consume(1, "payments")).await;
    for _ in 0..20 {
        stage.world.schedule("payments", 4);
        // The honest worker gets every other one, and those that come back.
        let delivered = raw.until((60, 60)).await;
        let at = 1 + usize::from(delivered[0]);
        let tag = delivered[at..at + 8].try_into().expect("8 bytes");
        raw.send(&nack(1, u64::from_be_bytes(tag), true)).await;
    }
    drop(raw);
    stage.survives(16).await;
}
