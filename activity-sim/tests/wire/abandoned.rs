//! A poll whose caller has gone goes on waiting at the service, and the task it gets is lost.

use std::time::Duration;

use activity_sim::{FaultRule, Schedule, TaskState, TimeoutType, Timeouts};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::client::{Client, SOON, poll, sim, sim_holding};

#[tokio::test]
async fn an_abandoned_poll_swallows_the_next_task() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let leaver = Client::new(&sim);
    let left = tokio::spawn(async move { leaver.poll("list").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    left.abort();
    sim.wait_until(SOON, |s| {
        s.errors("PollForActivityTask", "client-gone") == 1
    })
    .await
    .unwrap();
    assert_eq!(
        sim.summary().open_polls,
        1,
        "the service does not know that the caller has gone"
    );

    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_millis(100)),
        ..Timeouts::default()
    };
    let ids = sim.schedule(Schedule {
        timeouts,
        count: 2,
        ..Schedule::new("shop", "list")
    });
    let lost = sim
        .wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
        .await
        .unwrap();
    assert!(lost.started_ms.is_some());
    assert_eq!(sim.task(&ids[1]).unwrap().state, TaskState::Scheduled);
    client.take("list").await;
    let closed = sim
        .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
        .await
        .unwrap();
    assert_eq!(closed.timeout_type, Some(TimeoutType::StartToClose));
    assert!(!sim.task(&ids[1]).unwrap().abandoned_poll);
    assert_eq!(sim.summary().abandoned, 1);
}

#[tokio::test]
async fn an_abandoned_poll_ends_with_its_hold() {
    let sim = sim_holding(Duration::from_millis(400)).await;
    let leaver = Client::new(&sim);
    let left = tokio::spawn(async move { leaver.poll("list").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    left.abort();
    sim.wait_until(SOON, |s| s.open_polls == 0 && s.empty_polls == 1)
        .await
        .unwrap();
    let ids = sim.schedule(Schedule::new("shop", "list"));
    Client::new(&sim).take("list").await;
    assert!(!sim.task(&ids[0]).unwrap().abandoned_poll);
}

/// Whether the kernel has told the other side that this port's connection is closed. On a busy machine
/// that may take a moment, even to the same machine.
fn is_told(port: u16) -> bool {
    // Where there is no such file, it is taken for granted.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let (established, closing) = ("01", "04");
    !table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let own = columns.next().unwrap_or_default();
        let state = columns.nth(1).unwrap_or_default();
        own.ends_with(&format!(":{port:04X}")) && [established, closing].contains(&state)
    })
}

/// The task is scheduled at once after the caller has closed its connection, so that the hand-out
/// and the server's notice of the close race: whatever their order, the task must not count as
/// delivered.
#[tokio::test]
async fn a_close_just_before_the_hand_out_is_noticed() {
    let sim = sim().await;
    let body = poll("list").to_string();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: sim\r\nx-amz-target: SimpleWorkflowService.PollForActivityTask\
         \r\ncontent-length: {length}\r\n\r\n{body}"
    );
    for round in 1..=200 {
        let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        drop(stream);
        while !is_told(port) {}
        let ids = sim.schedule(Schedule::new("shop", "list"));
        sim.wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert_eq!(sim.summary().abandoned, 200);
}

#[tokio::test]
async fn a_delayed_poll_of_a_caller_who_left_is_an_abandoned_poll() {
    let sim = sim().await;
    sim.fault(FaultRule::latency(
        "PollForActivityTask",
        Duration::from_millis(300),
    ));
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let impatient = Client::new(&sim);
    let call = tokio::time::timeout(Duration::from_millis(100), impatient.poll("list"));
    assert!(call.await.is_err());
    let lost = sim
        .wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
        .await
        .unwrap();
    assert_eq!(lost.state, TaskState::Started);
}

#[tokio::test]
async fn a_delayed_completion_of_a_caller_who_left_takes_effect() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let slow = FaultRule::latency("RespondActivityTaskCompleted", Duration::from_millis(300));
    sim.fault(slow.times(1));
    let impatient = client.complete(&token);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), impatient)
            .await
            .is_err()
    );
    let done = sim
        .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
        .await
        .unwrap();
    assert_eq!(done.state, TaskState::Completed);
    assert_eq!(client.complete(&token).await.code(), "UnknownResourceFault");
}
