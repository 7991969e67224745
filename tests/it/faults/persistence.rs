//! An outcome is kept and sent until AWS has it, however long that takes.

use super::{
    Fault, QUEUE, Row, kind_of, list_of, reply_for,
    respond::{End, actions, run},
    seconds_between, state_after,
};
use crate::harness::{
    Answer, Inbox, Node, Route, Scene, Source, StepFunctions, Swf, World, eventually,
};
use activity_sim::{FaultRule, Schedule, Summary, TaskState, Throttle, Timeouts};
use futures_util::future::join_all;
use rstest::rstest;
use std::time::Duration;

/// Refused three times, it is sent again after at least 1, 2 and 4 s.
#[rstest]
#[case::swf(Swf, &["OperationNotPermittedFault"])]
#[case::step_functions(
    StepFunctions,
    &["AccessDeniedException", "KmsAccessDeniedException", "KmsInvalidStateException"],
)]
#[tokio::test]
async fn while_an_outcome_is_not_permitted_it_is_kept_and_retried_slowly_until_it_is(
    #[case] source: Source,
    #[case] refused: &[&'static str],
) {
    let row = |action, code| Row {
        source,
        action,
        fault: Fault::Answer(400, code),
        times: 3,
        end: End::After("refused"),
    };
    let mut rows = Vec::new();
    for action in actions(source) {
        rows.extend(refused.iter().map(|code| row(action, code)));
    }
    let (world, bridge, ids) = run(&rows).await;
    let actions: Vec<_> = rows.iter().map(|row| (row.list(), row.action)).collect();
    let _worker = world
        .worker(QUEUE, move |task| {
            let list = list_of(task);
            let found = actions.iter().find(|(known, _)| *known == list);
            vec![reply_for(found.expect("a row").1, "kept")]
        })
        .await;
    for (row, [first, second]) in rows.iter().zip(&ids) {
        let first = world.closed(first).await;
        assert_eq!(
            (first.state, first.settle_calls),
            (state_after(row.action), 1),
            "{row}: {first:?}"
        );
        assert_eq!(
            world.closed(second).await.state,
            state_after(row.action),
            "{row}"
        );
        let list = row.list();
        let retried = format!("settle_retries_total{{kind=\"refused\",route=\"{list}\"");
        assert_eq!(bridge.metric(&retried).await, 3.0, "{row}");
        let log = bridge.log();
        let mut lines = log
            .lines()
            .filter(|line| line.contains(&format!("route=\"{list}\"")));
        let said = lines.find(|line| line.contains("AWS refuses the outcome; it is kept"));
        let settled = lines.find(|line| line.contains("DEBUG settled"));
        let (said, settled) = (said.expect("a warning"), settled.expect("a settlement"));
        let waited = seconds_between(said, settled);
        assert!(waited >= 7.0, "{row}: accepted after {waited} s");
    }
    bridge.idle().await;
}

/// It is a heartbeat that finds the task dead; the refusal stays. Heartbeats go once a second here.
#[rstest]
#[case::swf(Swf, "AccessDeniedException")]
#[case::step_functions(StepFunctions, "KmsAccessDeniedException")]
#[tokio::test]
async fn an_outcome_that_is_not_permitted_is_given_up_when_its_task_has_timed_out(
    #[case] source: Source,
    #[case] refused: &str,
) {
    let settings =
        "max_in_flight = 1\npollers = { min = 1, max = 1 }\nheartbeat = { timeout_secs = 3 }";
    let scene = Scene::of(source, settings).await;
    let fault = FaultRule::error(source.complete(), 400, refused);
    scene.world.sim.fault(fault);
    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_secs(8)),
        ..Timeouts::default()
    };
    let (id, task) = scene.task(scene.timed(timeouts)).await;
    scene
        .inbox
        .reply(&task, Answer::done("too late").remove(0))
        .await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::TimedOut);
    // There is room for one.
    scene.task(scene.plain()).await;
    let gone = "settlements_total{kind=\"completed\",outcome=\"gone\"";
    assert_eq!(scene.bridge.metric(gone).await, 1.0);
    scene.all_replies_acknowledged().await;
    assert!(scene.inbox.get("activity-bridge.parked").await.is_none());
}

/// Each attempt is one of the bridge's own: the SDK makes none.
#[tokio::test]
async fn a_result_is_sent_again_far_past_three_attempts() {
    let world = World::new().await.of(Swf);
    let _worker = world.worker("payments", |_| Answer::done("at last")).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    let fault = FaultRule::error(Swf.complete(), 500, "InternalFailure");
    world.sim.fault(fault.times(6));
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;
    assert_eq!(
        (task.result, task.settle_calls),
        (Some(Swf.result("at last")), 1)
    );
    assert_eq!(
        world
            .sim
            .summary()
            .errors(Swf.complete(), "InternalFailure"),
        6
    );
    assert!(
        bridge
            .metric("settle_retries_total{kind=\"unavailable\"")
            .await
            >= 6.0
    );
    bridge.idle().await;
}

#[tokio::test]
async fn throttled_respond_calls_lose_none_of_300_results() {
    let world = World::new().await.of(Swf);
    let actions = actions(Swf);
    for action in actions {
        world.sim.throttle(Throttle {
            action: (*action).to_owned(),
            rate_per_sec: 10.0,
            burst: 5.0,
        });
    }
    let worker = world.worker("payments", |_| Vec::new()).await;
    // No heartbeat is due while this lasts, so that every call for a task is an outcome's.
    let settings = "max_in_flight = 300\nheartbeat = { timeout_secs = 600 }";
    let bridge = world.bridge(&[Route::new("payments").with(settings)]).await;
    let each = 300 / actions.len();
    for (index, action) in actions.iter().enumerate() {
        world.sim.schedule(Schedule {
            count: each as u32,
            input: Some("x".repeat(index)),
            request_cancel: kind_of(action) == "canceled",
            ..world.plain("payments")
        });
    }
    // All at once, so that there are more than AWS takes, however slowly they were brought.
    let tasks = worker.has_seen(300).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let replies = tasks.iter().map(|task| {
        let action = actions[task.body.len() % actions.len()];
        inbox.reply(task, reply_for(action, "ok"))
    });
    join_all(replies).await;
    let summary = world.until("all closed", |s| s.closed() == 300).await;
    for action in actions {
        let state = state_after(action);
        let ended = world
            .sim
            .tasks()
            .into_iter()
            .filter(|task| task.state == state);
        assert_eq!(ended.count(), each, "{action}");
        assert!(
            summary.errors(action, "ThrottlingException") > 0,
            "{action} was never throttled"
        );
    }
    for task in world.sim.tasks() {
        assert_eq!((task.settle_calls, task.late_calls), (1, 0), "{task:?}");
    }
    bridge.idle().await;
    assert_eq!(worker.seen().len(), 300);
    eventually("every settlement being counted", || async {
        let kinds = ["completed", "failed", "canceled"];
        let mut settled = 0.0;
        for kind in kinds {
            settled += bridge
                .metric(&format!(
                    "settlements_total{{kind=\"{kind}\",outcome=\"accepted\""
                ))
                .await;
        }
        (settled == 300.0).then_some(())
    })
    .await;
}

/// The reply comes no second time, so what is not parked now is lost.
#[tokio::test]
async fn an_outcome_that_aws_never_takes_is_parked_though_the_broker_was_away_just_then() {
    let node = Node::start().await;
    let world = World::at(node.amqp_uri.clone(), Duration::from_secs(8)).await;
    let _worker = world.worker("payments", |_| Answer::done("precious")).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    let action = "RespondActivityTaskCompleted";
    // RabbitMQ 3.10 finds no leader again for a quorum queue that is killed in its first five seconds.
    world
        .until("a poll that was held for 8 s", |s| s.empty_polls > 0)
        .await;
    // Less than the 8 s for which the bridge waits for an answer. Where it waits in vain all the same, there is another.
    world.sim.fault(FaultRule {
        latency_ms: 6_000,
        ..FaultRule::error(action, 400, "ValidationException").times(2)
    });
    let id = world.schedule("payments", 1).remove(0);
    eventually("the call on its way", || async {
        (world.sim.faults()[0].times < Some(2)).then_some(())
    })
    .await;
    node.kill().await;
    bridge.route_is("payments", "the broker is away").await;
    let refused = |s: &Summary| s.errors(action, "ValidationException") > 0;
    world.until("the refusal", refused).await;
    node.restart().await;

    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed, "{task:?}");
    bridge.route_is("payments", "polling").await;
    let parked = Inbox::connect(&world.amqp_uri)
        .await
        .next("activity-bridge.parked")
        .await;
    assert_eq!(
        (parked.body.as_str(), parked.header("reason").as_deref()),
        ("precious", Some(""))
    );
    bridge.idle().await;
}
