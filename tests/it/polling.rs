//! When the bridge polls, how much, and when it does not.

use crate::harness::{
    Answer, BridgeProcess, DOMAIN, Inbox, Route, Source, StepFunctions, Swf, TEST_TIMEOUT, World,
    eventually,
};
use activity_sim::{FaultRule, Summary, Throttle};
use rstest::rstest;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

/// Started and not closed, as AWS sees it, together with the polls that could start more.
fn held(summary: &Summary) -> u64 {
    let closed = summary.completed + summary.failed + summary.canceled + summary.timed_out;
    summary.polled - closed + summary.open_polls
}

/// Waits until the bridge has no poll open, nor one that waits for its turn.
async fn no_poll_is_open(bridge: &BridgeProcess) {
    eventually("no poll that waits or is open", || async {
        (bridge.metric("open_polls").await == 0.0).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn the_slot_bound_is_never_exceeded(#[values(Swf, StepFunctions)] source: Source) {
    let world = World::new().await.of(source);
    let worker = world.worker("payments", |_| Vec::new()).await;
    let route = Route::new("payments").with("max_in_flight = 7\npollers = { min = 2, max = 20 }");
    let bridge = world.bridge(&[route]).await;
    world.schedule("payments", 100);

    // Round by round: seven are taken, and no poll is open that could take an eighth.
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut replied = 0;
    for round in 1..=14 {
        let seen = worker.has_seen(round * 7).await;
        let summary = world.sim.summary();
        assert!(held(&summary) <= 7, "{summary:?}");
        for task in &seen[replied..] {
            inbox.reply(task, Answer::done("ok").remove(0)).await;
            assert!(held(&world.sim.summary()) <= 7);
        }
        replied = seen.len();
    }
    assert!(bridge.metric("tasks_in_flight").await <= 7.0);
}

#[rstest]
#[tokio::test]
async fn polling_stops_without_consumers_and_resumes_with_them(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let bridge = world.bridge(&[Route::new("payments")]).await;
    bridge.route_is("payments", "waiting for a consumer").await;
    assert_eq!(
        bridge.get("/readyz").await.0,
        200,
        "waiting for consumers is ready"
    );
    world.schedule("payments", 5);
    assert_eq!(world.sim.summary().calls.get(source.poll()), None);

    let worker = world.worker("payments", |_| Answer::done("ok")).await;
    world.until("five completed", |s| s.completed == 5).await;

    drop(worker);
    bridge.route_is("payments", "waiting for a consumer").await;
    // Nor one on its way, of which the simulator does not know.
    no_poll_is_open(&bridge).await;
    world.schedule("payments", 5);
    assert_eq!(world.sim.summary().polled, 5);

    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    world.until("ten completed", |s| s.completed == 10).await;
}

#[tokio::test]
async fn a_route_may_poll_without_consumers_to_fill_its_queue() {
    let world = World::new().await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    world.schedule("payments", 5);
    eventually("five ready messages", || async {
        (bridge.metric("queue_ready_messages").await == 5.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn polling_stops_while_the_queue_holds_more_than_the_route_allows() {
    let world = World::new().await;
    let route = Route::new("payments").with("poll_without_consumers = true\nmax_ready = 3");
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for _ in 0..10 {
        let published = inbox.channel().basic_publish(
            "".into(),
            "payments".into(),
            Default::default(),
            b"from elsewhere",
            Default::default(),
        );
        published
            .await
            .expect("published")
            .await
            .expect("confirmed");
    }
    bridge
        .route_is("payments", "10 messages wait in the queue")
        .await;
    no_poll_is_open(&bridge).await;
    world.schedule("payments", 1);
    for _ in 0..8 {
        inbox.next("payments").await;
    }
    world.until("the task polled", |s| s.polled == 1).await;
}

#[rstest]
#[tokio::test]
async fn pollers_grow_with_the_work_and_shrink_without(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 1, max = 8 }");
    let bridge = world.bridge(&[route]).await;
    world.until("one open poll", |s| s.open_polls == 1).await;
    world.schedule("payments", 400);
    let busy = world.until("all completed", |s| s.completed == 400).await;
    assert!((2..=8).contains(&busy.max_open_polls), "{busy:?}");
    eventually("one poller again", || async {
        (bridge.metric("open_polls").await == 1.0).then_some(())
    })
    .await;
}

/// A poll that succeeds ends the back-off, though others fail beside it.
#[rstest]
#[case::swf(Swf, "LimitExceededFault")]
#[case::step_functions(StepFunctions, "KmsThrottlingException")]
#[tokio::test]
async fn while_most_polls_are_throttled_the_others_bring_their_tasks(
    #[case] source: Source,
    #[case] code: &str,
) {
    let world = World::new().await.of(source);
    let fault = FaultRule::error(source.poll(), 400, code);
    world.sim.fault(fault.probability(0.75));
    world.schedule("payments", 200);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 16, max = 16 }");
    let bridge = world.bridge(&[route]).await;
    world.until("all completed", |s| s.completed == 200).await;
    assert!(bridge.metric("polls_total{outcome=\"throttled\"").await > 10.0);
}

/// The SDK's time-outs are in force: 75 s for the attempt, against the 60 s for which AWS holds an empty poll.
#[tokio::test]
async fn a_silent_poll_of_60_seconds_is_held_and_answered() {
    let world = World::with_hold(Duration::from_secs(60))
        .await
        .of(StepFunctions);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 1, max = 1 }");
    let bridge = world.bridge(&[route]).await;
    world.until("the open poll", |s| s.open_polls == 1).await;
    let empty = |s: &Summary| s.empty_polls == 1;
    let answered = world.sim.wait_until(TEST_TIMEOUT, empty).await;
    answered.expect("the poll is answered, empty");
    eventually("the empty poll being counted", || async {
        (bridge.metric("polls_total{outcome=\"empty\"").await == 1.0).then_some(())
    })
    .await;
    let summary = world.sim.summary();
    let polls = &summary.calls[StepFunctions.poll()];
    assert!(polls.errors.is_empty(), "{summary:?}");
    let unavailable = "polls_total{outcome=\"unavailable\"";
    assert_eq!(bridge.metric(unavailable).await, 0.0);
    // And the next poll brings a task as ever.
    world.schedule("payments", 1);
    world
        .until("the task completed", |s| s.completed == 1)
        .await;
}

#[tokio::test]
async fn the_identity_of_a_poll_names_route_host_and_process() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    let id = world.schedule("payments", 1).remove(0);
    let identity = world.closed(&id).await.identity.unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    assert_eq!(
        identity,
        format!("activity-bridge payments@{}:{}", host.trim(), bridge.pid())
    );
    assert_eq!(world.sim.summary_of("payments").polled, 1, "in {DOMAIN}");
}

/// Polls that wait because AWS throttles them are not begun once nobody consumes any more.
#[rstest]
#[tokio::test]
async fn a_poll_that_waits_for_its_turn_is_not_begun_when_the_last_consumer_has_left(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::with_hold(Duration::from_millis(200))
        .await
        .of(source);
    let worker = world.worker("payments", |_| Vec::new()).await;
    let route = Route::new("payments").with("pollers = { min = 20, max = 20 }");
    let bridge = world.bridge(&[route]).await;
    world.sim.throttle(Throttle {
        action: source.poll().to_owned(),
        rate_per_sec: 1.0,
        burst: 1.0,
    });
    let throttled = |summary: &Summary| summary.errors(source.poll(), "ThrottlingException") > 5;
    world.until("polls are throttled", throttled).await;
    drop(worker);
    bridge.route_is("payments", "waiting for a consumer").await;
    let polls = || -> u64 {
        let rates = world.sim.rates(source.poll());
        rates.per_second.iter().sum()
    };
    let before = polls();
    no_poll_is_open(&bridge).await;
    let begun = polls() - before;
    // Some were on their way; all twenty had a turn, one after another, if they waited on.
    assert!(begun <= 6, "{begun} more polls were begun");
}

/// AWS may send the head of its answer when the poll begins, and the rest when there is a task.
#[tokio::test]
async fn a_poll_whose_answer_has_begun_is_held_as_long_as_any() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n\
        Connection: close\r\nContent-Length: 2\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    client.read_buf(&mut request).await?;
                }
                client.write_all(HEAD).await?;
                // Longer than a body is usually waited for.
                sleep(Duration::from_secs(25)).await;
                client.write_all(b"{}").await?;
                client.shutdown().await
            });
        }
    });
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Vec::new()).await;
    let env = [("AWS_ENDPOINT_URL_SWF", &*url)];
    let bridge = world.bridge_in(&env, "", &[Route::new("payments")]).await;
    let polls = async |outcome| {
        let series = format!(r#"polls_total{{outcome="{outcome}",route="payments""#);
        bridge.metric(&series).await
    };
    eventually("an answer to a poll", || async {
        assert_eq!(polls("unavailable").await, 0.0, "{}", bridge.log());
        (polls("empty").await >= 1.0).then_some(())
    })
    .await;
}
