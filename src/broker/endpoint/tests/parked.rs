//! Parked replies: their queue, and the thread that keeps them in a file.

use super::{
    super::{
        message::Message,
        park::Written,
        parked_file::{Found, ParkedFile, tests::on_a_failing_disk},
        parked_reader::ParkedMessages,
        parked_record::tests::message,
        parked_replies::{Ask, NoRoom},
        parked_writer::ParkedWriter,
        properties_builder::PropertiesBuilder,
        table_builder::TableBuilder,
    },
    client::{Broker, Client},
};
use crate::broker::{ParkedReader, names::PARKING_QUEUE};
use amq_protocol::protocol::{AMQPClass, basic, queue};
use bytes::Bytes;
use std::{fs, path::Path, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

/// A broker that keeps parked replies in memory.
fn in_memory() -> Broker {
    let broker = Broker::new();
    broker
        .switch
        .with(|state| state.add_parking_queue(Found::default(), Instant::now()));
    broker
}

/// A broker that keeps parked replies in this file, and its thread.
fn in_file(path: &Path) -> (Broker, mpsc::Sender<Ask>) {
    let broker = Broker::new();
    let (file, found) = ParkedFile::open(path).expect("it can be used");
    let (asks, asked) = broker.switch.with(|state| {
        state.add_parking_queue(found, Instant::now());
        state.parked.keep_in_file()
    });
    ParkedWriter::start(file, broker.switch.clone(), asked).expect("a thread");
    (broker, asks)
}

async fn close(asks: &mpsc::Sender<Ask>) {
    let (closed, is_closed) = oneshot::channel();
    asks.send(Ask::Close(closed)).await.expect("it runs");
    is_closed.await.expect("it closes");
}

fn try_park(broker: &Broker, message: Message) -> Result<Option<Written>, NoRoom> {
    let now = Instant::now();
    broker.switch.with(|state| state.park(message, now))
}

/// Parks, and waits for the disk if there is one.
async fn park(broker: &Broker, body: &str) {
    let parked = try_park(broker, message("completed", body.as_bytes()));
    if let Some(written) = parked.expect("there is room") {
        written.await.expect("an answer").expect("it is written");
    }
}

fn size(broker: &Broker) -> (usize, usize) {
    broker.switch.with(|state| state.parked.size())
}

fn basic(method: basic::AMQPMethod) -> AMQPClass {
    AMQPClass::Basic(method)
}

fn ack(client: &Client, delivery_tag: u64) {
    let ack = basic::AMQPMethod::Ack(basic::Ack {
        delivery_tag,
        multiple: false,
    });
    assert_eq!(client.send(basic(ack)), Ok(()));
}

fn nack(client: &Client, delivery_tag: u64, requeue: bool) {
    let nack = basic::AMQPMethod::Nack(basic::Nack {
        delivery_tag,
        multiple: false,
        requeue,
    });
    assert_eq!(client.send(basic(nack)), Ok(()));
}

/// The deliveries since the last call: tags, and whether each may have been delivered before.
async fn deliveries(client: &Client) -> Vec<(u64, bool)> {
    let methods = client.methods().await.into_iter();
    methods
        .filter_map(|method| match method {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => {
                Some((deliver.delivery_tag, deliver.redelivered))
            }
            _ => None,
        })
        .collect()
}

/// What the file has: positions and bodies.
fn content(path: &Path) -> Vec<(u64, Bytes)> {
    let (_, found) = ParkedFile::open(path).expect("it can be used");
    let messages = found.messages.into_iter();
    messages
        .map(|(position, message)| (position, message.body))
        .collect()
}

#[tokio::test]
async fn a_parked_reply_counts_until_a_consumer_is_done_with_it() {
    let broker = in_memory();
    for body in ["a", "b", "c"] {
        park(&broker, body).await;
    }
    let client = broker.connect(131_072);
    client.consume(PARKING_QUEUE, false).expect("it may");
    assert_eq!(
        deliveries(&client).await,
        [(1, false), (2, false), (3, false)]
    );
    assert_eq!(size(&broker).0, 3);
    ack(&client, 1);
    nack(&client, 2, false);
    assert_eq!(size(&broker).0, 1);
    nack(&client, 3, true);
    assert_eq!(deliveries(&client).await, [(4, true)]);
    assert_eq!(size(&broker).0, 1);
    client.lose();
    assert_eq!(size(&broker).0, 1);
    let get = basic::AMQPMethod::Get(basic::Get {
        queue: PARKING_QUEUE.into(),
        no_ack: true,
    });
    let client = broker.connect(131_072);
    assert_eq!(client.send(basic(get)), Ok(()));
    assert_eq!(size(&broker), (0, 0));
    park(&broker, "d").await;
    client.consume(PARKING_QUEUE, true).expect("it may");
    assert_eq!(deliveries(&client).await.len(), 1);
    assert_eq!(size(&broker), (0, 0));
}

#[tokio::test]
async fn a_full_parking_refuses_the_next_reply_and_drops_none() {
    let broker = in_memory();
    for number in 0..1_000 {
        park(&broker, &number.to_string()).await;
    }
    let problem = || {
        broker
            .switch
            .with(|state| state.parked.problem(Instant::now()))
    };
    assert_eq!(problem(), None);
    let refused = try_park(&broker, message("completed", b"one more"));
    let Err(NoRoom::Full(why)) = refused else {
        panic!("it has room: {refused:?}");
    };
    assert!(why.contains("is full: messages: 1000"), "{why}");
    assert_eq!(problem(), Some(why));
    let waiting = broker
        .switch
        .with(|state| state.queues[PARKING_QUEUE].waiting.len());
    assert_eq!(waiting, 1_000);
    let purge = queue::AMQPMethod::Purge(queue::Purge {
        queue: PARKING_QUEUE.into(),
        nowait: false,
    });
    let client = broker.connect(131_072);
    assert_eq!(client.send(AMQPClass::Queue(purge)), Ok(()));
    assert_eq!((size(&broker), problem()), ((0, 0), None));
    park(&broker, "there is room").await;
}

#[tokio::test]
async fn a_parked_reply_waits_for_a_client_whose_frames_it_fits() {
    let broker = in_memory();
    let headers = TableBuilder::new().text("h", "x".repeat(5_000)).finish();
    let properties = PropertiesBuilder::new().headers(headers.expect("a table"));
    let large = Message {
        properties: properties.finish().expect("properties"),
        ..message("completed", b"large")
    };
    assert!(try_park(&broker, large).is_ok());
    park(&broker, "small").await;
    let narrow = broker.connect(4_096);
    narrow.consume(PARKING_QUEUE, false).expect("it may");
    assert_eq!(deliveries(&narrow).await, [(1, false)]);
    assert_eq!(size(&broker).0, 2);
    let wide = broker.connect(131_072);
    wide.consume(PARKING_QUEUE, false).expect("it may");
    assert_eq!(deliveries(&wide).await, [(1, false)]);
}

#[tokio::test]
async fn what_no_consumer_has_finished_with_is_in_the_file_for_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("parked");
    let (broker, asks) = in_file(&path);
    for body in ["a", "b", "c", "d"] {
        park(&broker, body).await;
    }
    // As a kill leaves it.
    let killed = folder.path().join("killed");
    fs::copy(&path, &killed).expect("copied");
    assert_eq!(content(&killed).len(), 4);
    let client = broker.connect(131_072);
    client.consume(PARKING_QUEUE, false).expect("it may");
    ack(&client, 1);
    ack(&client, 3);
    close(&asks).await;
    let left = [(1, "b".into()), (3, "d".into())];
    assert_eq!(content(&path), left);
    assert_eq!(size(&broker).0, 2, "the bound is that of the file");

    let (broker, asks) = in_file(&path);
    assert_eq!(size(&broker).0, 2);
    let client = broker.connect(131_072);
    client.consume(PARKING_QUEUE, false).expect("it may");
    assert_eq!(deliveries(&client).await, [(1, true), (2, true)]);
    park(&broker, "e").await;
    close(&asks).await;
    let left = [(1, "b".into()), (3, "d".into()), (4, "e".into())];
    assert_eq!(content(&path), left);
}

#[tokio::test]
async fn a_person_reads_what_no_consumer_has_and_what_is_deleted_leaves_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("parked");
    let (broker, asks) = in_file(&path);
    for body in ["a", "b", "c", "d"] {
        park(&broker, body).await;
    }
    let client = broker.connect(131_072);
    client.set_prefetch(1);
    client.consume(PARKING_QUEUE, false).expect("it may");
    let reader = || ParkedMessages {
        switch: broker.switch.clone(),
        after: None,
        left: 2,
    };
    let mut first = reader();
    let b = first.next().await.expect("the consumer has the one before");
    let c = first.next().await.expect("the next one");
    assert_eq!((&b.body[..], &c.body[..]), (&b"b"[..], &b"c"[..]));
    assert!(first.next().await.is_none(), "as many as were asked for");
    drop(c);
    let again = reader().next().await.expect("it is there");
    assert!(again.receipt.ack().await);
    assert!(!b.receipt.ack().await, "somebody else has deleted it");
    nack(&client, 1, true);
    close(&asks).await;
    let left = [(0, "a".into()), (2, "c".into()), (3, "d".into())];
    assert_eq!(content(&path), left);
}

#[tokio::test]
async fn a_file_that_is_closed_takes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, asks) = in_file(&folder.path().join("parked"));
    close(&asks).await;
    let parked = try_park(&broker, message("completed", b"late"));
    let written = parked.expect("there is room").expect("it has a file");
    assert!(written.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_refuses_replies_until_the_file_can_be_used_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, away) = (folder.path().join("parked"), folder.path().join("away"));
    let (file, found) = ParkedFile::open(&path).expect("made");
    let failing = on_a_failing_disk(&path, file.instance());
    drop(file);
    fs::rename(&path, &away).expect("moved");
    let broker = Broker::new();
    let (asks, asked) = broker.switch.with(|state| {
        state.add_parking_queue(found, Instant::now());
        state.parked.keep_in_file()
    });
    let writer = ParkedWriter::new(failing, broker.switch.clone());
    tokio::spawn(writer.run(asked));
    let problem = || {
        broker
            .switch
            .with(|state| state.parked.problem(Instant::now()))
    };
    for why in ["its disk fails", "Was a volume unmounted"] {
        let parked = try_park(&broker, message("completed", b"refused"));
        let written = parked.expect("there is room").expect("it has a file");
        let refused = written.await.expect("an answer");
        let failure = problem().expect("a problem");
        assert_eq!(refused, Err(failure.clone()));
        assert!(failure.contains(why), "{failure}");
        assert_eq!(size(&broker), (0, 0));
        // Meanwhile it is tried again.
        sleep(Duration::from_secs(60)).await;
    }
    fs::rename(&away, &path).expect("moved");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(problem(), None);
    park(&broker, "kept").await;
    close(&asks).await;
    let bodies: Vec<_> = content(&path).into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["kept"]);
}
