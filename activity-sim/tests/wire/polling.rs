//! Long polls: the hold, the answer, the order and the maximum.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use activity_sim::{ActivityType, Options, Schedule, Sim};
use serde_json::json;

use crate::client::{Client, SOON, sim, sim_holding};

#[tokio::test]
async fn an_empty_poll_is_held_and_answered_empty() {
    let hold = Duration::from_millis(300);
    let sim = sim_holding(hold).await;
    let started = Instant::now();
    let answer = Client::new(&sim).poll("list").await;
    assert!(started.elapsed() >= hold);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({ "taskToken": "", "activityId": "", "startedEventId": 0 })
    );
    let summary = sim
        .wait_until(SOON, |s| s.ok("PollForActivityTask") == 1)
        .await
        .unwrap();
    assert_eq!(
        (summary.open_polls, summary.empty_polls, summary.polled),
        (0, 1, 0)
    );
}

#[tokio::test]
async fn a_held_poll_is_answered_as_soon_as_there_is_a_task() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let poll = tokio::spawn(async move { client.poll("list").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    let started = Instant::now();
    let ids = sim.schedule(Schedule {
        activity_type: ActivityType::new("charge", "2"),
        input: Some("{\"amount\": 3, \"text\": \"ü\u{1f600}\"}".to_owned()),
        workflow_id: Some("order-1".to_owned()),
        ..Schedule::new("shop", "list")
    });
    let answer = poll.await.unwrap();
    // The hold is not over.
    assert!(started.elapsed() < Duration::from_secs(30));
    let record = sim.task(&ids[0]).unwrap();
    let token = answer.token();
    assert!((500..=1_024).contains(&token.len()));
    assert_eq!(
        answer.body,
        json!({
            "taskToken": token,
            "activityId": ids[0],
            "startedEventId": 6,
            "workflowExecution": { "workflowId": "order-1", "runId": record.run_id },
            "activityType": { "name": "charge", "version": "2" },
            "input": "{\"amount\": 3, \"text\": \"ü\u{1f600}\"}",
        })
    );
    assert_eq!(record.identity.as_deref(), Some("tester"));
    assert!(!record.abandoned_poll);
}

#[tokio::test]
async fn tasks_are_in_order_and_lists_and_domains_are_separate() {
    let sim = sim().await;
    sim.add_domain("bank");
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule {
        count: 5,
        ..Schedule::new("shop", "list")
    });
    sim.schedule(Schedule::new("shop", "other"));
    sim.schedule(Schedule::new("bank", "list"));
    for id in &ids {
        assert_eq!(client.poll("list").await.body["activityId"], json!(id));
    }
    assert_eq!(sim.summary().polled, 5);
    assert_eq!(sim.summary_of("other").scheduled, 1);
    assert_eq!(sim.summary_of("list").scheduled, 6);
}

#[tokio::test]
async fn polls_above_the_maximum_are_refused() {
    let options = Options {
        max_open_polls: 2,
        domains: vec!["shop".to_owned()],
        ..Options::default()
    };
    let sim = Sim::start(options).await.unwrap();
    let client = Client::new(&sim);
    for _ in 0..2 {
        let client = client.clone();
        tokio::spawn(async move { client.poll("list").await });
    }
    sim.wait_until(SOON, |s| s.open_polls == 2).await.unwrap();
    let refused = client.poll("list").await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "LimitExceededFault")
    );
    // Another task list has a limit of its own.
    sim.schedule(Schedule::new("shop", "other"));
    client.take("other").await;
    assert_eq!(sim.summary().max_open_polls, 2);
}

#[tokio::test]
async fn a_thousand_polls_are_held_at_once() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let polls: Vec<_> = (0..1_000)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.take("list").await })
        })
        .collect();
    sim.wait_until(Duration::from_secs(60), |s| s.open_polls == 1_000)
        .await
        .unwrap();
    sim.schedule(Schedule {
        count: 1_000,
        ..Schedule::new("shop", "list")
    });
    for poll in polls {
        poll.await.unwrap();
    }
    let summary = sim.summary();
    assert_eq!(
        (summary.polled, summary.abandoned, summary.open_polls),
        (1_000, 0, 0)
    );
}

#[tokio::test]
async fn pending_tasks_are_counted() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let place = json!({ "domain": "shop", "taskList": { "name": "list" } });
    let count = client
        .call("CountPendingActivityTasks", place.clone())
        .await;
    assert_eq!(count.body, json!({ "count": 0, "truncated": false }));
    sim.schedule(Schedule {
        count: 3,
        ..Schedule::new("shop", "list")
    });
    client.take("list").await;
    let count = client.call("CountPendingActivityTasks", place).await;
    assert_eq!(count.body["count"], json!(2));
}

/// A program that another test starts may have a copy of the socket for a moment, and a client may use
/// the free port, so the test waits until the address can be bound.
#[tokio::test]
async fn a_stop_ends_held_polls_and_frees_the_address() {
    let addr = stopped_with_a_held_poll().await;
    let stopped = Instant::now();
    let options = Options {
        listen: addr,
        ..Options::default()
    };
    loop {
        match Sim::start(options.clone()).await {
            Ok(sim) => return assert_eq!(sim.addr(), addr),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
        }
        assert!(stopped.elapsed() < SOON, "the address is still in use");
        tokio::task::yield_now().await;
    }
}

/// Stops a simulator that holds a poll and returns its address.
async fn stopped_with_a_held_poll() -> SocketAddr {
    let sim = sim().await;
    let addr = sim.addr();
    let client = Client::new(&sim);
    let poll = tokio::spawn(async move { client.send("PollForActivityTask", "{}").await });
    let client = Client::new(&sim);
    let held = tokio::spawn(async move {
        client
            .send(
                "PollForActivityTask",
                crate::client::poll("list").to_string(),
            )
            .await
    });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    assert_eq!(poll.await.unwrap().unwrap().status, 400);
    sim.stop().await;
    assert!(held.await.unwrap().is_err());
    addr
}
