//! Abandoned polls: the caller has gone, the poll stays held, and the task that it gets is lost.

use std::{net::SocketAddr, time::Duration};

use activity_sim::{FaultRule, Schedule, Sim, TaskState, TimeoutType, Timeouts};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::client::{Client, SOON, poll, sim, sim_holding};

#[tokio::test]
async fn an_abandoned_poll_loses_the_next_task() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let caller = Client::new(&sim);
    let abandoned = tokio::spawn(async move { caller.poll("list").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    abandoned.abort();
    sim.wait_until(SOON, |s| {
        s.errors("PollForActivityTask", "client-gone") == 1
    })
    .await
    .unwrap();
    assert_eq!(
        sim.summary().open_polls,
        1,
        "the service does not notice that the caller has gone"
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
    let sim = sim_holding(Duration::from_secs(5)).await;
    let caller = Client::new(&sim);
    let abandoned = tokio::spawn(async move { caller.poll("list").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    abandoned.abort();
    sim.wait_until(SOON, |s| s.open_polls == 0 && s.empty_polls == 1)
        .await
        .unwrap();
    let ids = sim.schedule(Schedule::new("shop", "list"));
    Client::new(&sim).take("list").await;
    assert!(!sim.task(&ids[0]).unwrap().abandoned_poll);
}

/// Whether the peer's kernel knows that this end of the connection is closed. On a busy machine it needs a
/// moment, also on the same machine.
fn close_arrived(own: SocketAddr, peer: SocketAddr) -> bool {
    // Without such a file the answer is yes.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    // A connection of another program may have one of the two ports, so both ports must match.
    let [own, peer] = [own, peer].map(|end| format!(":{:04X}", end.port()));
    let (established, closing) = ("01", "04");
    !table.lines().any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, from, to, state, ..] = columns[..] else {
            return false;
        };
        from.ends_with(&own) && to.ends_with(&peer) && [established, closing].contains(&state)
    })
}

/// The task is scheduled at once after the caller has closed its connection, so the hand-out and the
/// server's notice of the close race. In either order, the task must not count as delivered.
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
        let own = stream.local_addr().unwrap();
        drop(stream);
        while !close_arrived(own, sim.addr()) {}
        let ids = sim.schedule(Schedule::new("shop", "list"));
        sim.wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert_eq!(sim.summary().abandoned, 200);
}

/// Makes the call and closes its connection while the simulator delays it.
async fn close_while_delayed(
    sim: &Sim,
    action: &str,
    call: impl Future<Output: Send> + Send + 'static,
) {
    let latency = FaultRule::latency(action, Duration::from_secs(5));
    sim.fault(latency.times(1));
    let call = tokio::spawn(call);
    sim.wait_until(SOON, |_| {
        sim.rates(action).per_second.iter().sum::<u64>() == 1
    })
    .await
    .unwrap();
    call.abort();
    assert!(call.await.is_err(), "answered at once");
    sim.wait_until(SOON, |s| s.errors(action, "client-gone") == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_delayed_poll_whose_caller_has_gone_is_an_abandoned_poll() {
    let sim = sim().await;
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let caller = Client::new(&sim);
    let call = async move { caller.poll("list").await };
    close_while_delayed(&sim, "PollForActivityTask", call).await;
    let lost = sim
        .wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
        .await
        .unwrap();
    assert_eq!(lost.state, TaskState::Started);
}

#[tokio::test]
async fn a_delayed_completion_whose_caller_has_gone_takes_effect() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let (caller, of_caller) = (Client::new(&sim), token.clone());
    let call = async move { caller.complete(&of_caller).await };
    close_while_delayed(&sim, "RespondActivityTaskCompleted", call).await;
    let done = sim
        .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
        .await
        .unwrap();
    assert_eq!(done.state, TaskState::Completed);
    assert_eq!(client.complete(&token).await.code(), "UnknownResourceFault");
}
