//! What only tasks of Step Functions have. Everything else is tested for both services by the same tests: see `Source`
//! in the harness, and the tests that take one.

use crate::harness::{Answer, Route, Scene, StepFunctions, Swf, World};
use activity_sim::{ExecutionRecord, ExecutionStatus, Retry, Schedule, TaskState, Timeouts};
use std::time::Duration;

const CONTROL: &str = "activity-bridge.control";
const PARKED: &str = "activity-bridge.parked";
const MAX_OUTPUT: usize = 262_144;

/// The one execution that there is.
fn execution(world: &World) -> ExecutionRecord {
    let mut executions = world.sim.executions();
    assert_eq!(executions.len(), 1, "{executions:?}");
    executions.remove(0)
}

#[tokio::test]
async fn a_result_that_is_json_goes_plain_acks_and_any_other_as_a_json_string() {
    let scene = Scene::of(StepFunctions, "").await;
    let newlines = "\n".repeat((MAX_OUTPUT - 2) / 2);
    for (sent, output) in [
        (r#" {"n" : [1, "é"]}"#, r#" {"n" : [1, "é"]}"#),
        ("null", "null"),
        ("done", r#""done""#),
        ("", r#""""#),
        (r#"say "hi""#, r#""say \"hi\"""#),
        // Each is two bytes then, and with the quotes around them there are exactly as many as may be.
        (&newlines, &format!("\"{}\"", newlines.replace('\n', "\\n"))),
    ] {
        let task = scene.ended_by(Answer::of("completed", sent)).await;
        assert_eq!(task.state, TaskState::Completed);
        assert!(task.result.as_deref() == Some(output), "{sent:.40?}");
    }
    let executions = scene.world.sim.executions();
    let outputs = executions.iter().map(|execution| &execution.output);
    let tasks = scene.world.sim.tasks();
    assert!(outputs.eq(tasks.iter().map(|task| &task.result)));
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_result_is_too_long_by_its_bytes_as_json() {
    let scene = Scene::of(StepFunctions, "").await;
    let longest = format!("\"{}\"", "x".repeat(MAX_OUTPUT - 2));
    let task = scene.ended_by(Answer::of("completed", &longest)).await;
    assert!(task.result == Some(longest), "the longest is taken whole");
    for too_long in [
        format!("\"{}\"", "x".repeat(MAX_OUTPUT - 1)),
        "é".repeat(MAX_OUTPUT / 2),
        "\"".repeat(MAX_OUTPUT / 2),
    ] {
        let task = scene.ended_by(Answer::of("completed", &too_long)).await;
        assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
        let words = StepFunctions.words("UnusableReply", &task);
        assert!(words.contains("Step Functions takes 262144"), "{words}");
        let parked = scene.inbox.next(PARKED).await;
        assert!(parked.body == too_long, "it is parked as another");
    }
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn where_result_as_is_json_a_result_that_is_none_fails_the_task_and_is_parked() {
    let scene = Scene::of(StepFunctions, "step_functions.result_as = \"json\"").await;
    let task = scene.ended_by(Answer::of("completed", "[1]")).await;
    assert_eq!(task.result.as_deref(), Some("[1]"));
    for none in ["done", "", "{\"a\": 1} trailing"] {
        let task = scene.ended_by(Answer::of("completed", none)).await;
        assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
        let because = "the result is not JSON, which result_as demands: ";
        let words = StepFunctions.words("UnusableReply", &task);
        let expected = format!("unusable reply: {because}");
        assert!(words.starts_with(&expected), "{words}");
        let parked = scene.inbox.next(PARKED).await;
        assert_eq!(parked.body, none);
        let why = parked.header("parked-because").unwrap_or_default();
        assert!(why.starts_with(because), "{why}");
    }
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_task_that_its_worker_canceled_fails_with_the_error_canceled() {
    let scene = Scene::of(StepFunctions, "").await;
    let task = scene
        .ended_by(Answer::of("canceled", "stopped half way"))
        .await;
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let ended = execution(&scene.world);
    assert_eq!(ended.status, ExecutionStatus::Failed);
    assert_eq!(
        (ended.error.as_deref(), ended.cause.as_deref()),
        (Some("Canceled"), Some("stopped half way"))
    );
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    scene.all_replies_acknowledged().await;
}

/// Step Functions asks nobody to cancel; the token of a task whose execution was stopped is dead.
#[tokio::test]
async fn the_worker_of_an_execution_that_was_stopped_is_told_gone_after_the_next_heartbeat() {
    let scene = Scene::of(StepFunctions, "heartbeat = { timeout_secs = 24 }").await;
    for kind in [None, Some("started"), Some("heartbeat")] {
        let (id, task) = scene.task(scene.plain()).await;
        let own = scene.inbox.bind(CONTROL, &task.id()).await;
        let stopped = scene.world.sim.cancel([&id]).canceled;
        assert_eq!(stopped, std::slice::from_ref(&id));
        if let Some(kind) = kind {
            scene.inbox.reply(&task, Answer::of(kind, "")).await;
        }
        let told = scene.inbox.next(&own).await;
        assert_eq!(told.header("reason").as_deref(), Some("gone"), "{kind:?}");
        assert_eq!((told.id(), told.body.as_str()), (task.id(), "gone"));
        scene.bridge.idle().await;
        let late = async || scene.bridge.metric("late_replies_total").await;
        let before = late().await;
        // Its last word changes nothing.
        scene
            .inbox
            .reply(&task, Answer::of("canceled", "stopped"))
            .await;
        scene.all_replies_acknowledged().await;
        let record = scene.world.sim.task(&id).expect("a record");
        assert_eq!(
            (record.state, record.settle_calls, record.late_calls),
            (TaskState::Canceled, 0, 1),
            "only the heartbeat was late"
        );
        assert_eq!(late().await - before, 1.0, "{kind:?}");
    }
    let executions = scene.world.sim.executions();
    let aborted = |execution: &ExecutionRecord| execution.status == ExecutionStatus::Aborted;
    assert!(executions.iter().all(aborted), "{executions:?}");
}

#[tokio::test]
async fn the_worker_name_of_a_poll_names_route_host_and_process() {
    let scene = Scene::of(StepFunctions, "").await;
    let task = scene.ended_by(Answer::of("completed", "1")).await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    assert_eq!(
        task.identity,
        Some(format!("payments@{}.{}", host.trim(), scene.bridge.pid()))
    );
}

#[tokio::test]
async fn an_input_of_one_mebibyte_arrives_byte_for_byte() {
    const MEBIBYTE: usize = 1 << 20;
    let scene = Scene::of(StepFunctions, "").await;
    let (head, tail) = ("{ \"größe\" :\t\"", "\" }\n");
    let room = MEBIBYTE - head.len() - tail.len();
    let (letters, rest) = ("é".repeat(room / 2), " ".repeat(room % 2));
    let input = format!("{head}{letters}{rest}{tail}");
    assert_eq!(input.len(), MEBIBYTE);
    let schedule = Schedule {
        input: Some(input.clone()),
        ..scene.plain()
    };
    let (id, task) = scene.task(schedule).await;
    assert!(task.body == input, "the input was changed");
    scene.inbox.reply(&task, Answer::of("completed", "1")).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

/// A failure of the worker's, a time-out, and then a success: three tasks, and one execution.
#[tokio::test]
async fn each_attempt_of_a_state_that_is_tried_again_is_a_task_of_its_own() {
    let scene = Scene::of(StepFunctions, "heartbeat = { by = \"worker\" }").await;
    let schedule = Schedule {
        retry: Some(Retry {
            max_attempts: 2,
            interval: Duration::from_millis(100),
        }),
        input: Some("[7]".to_owned()),
        ..scene.timed(Timeouts {
            start_to_close: Some(Duration::from_secs(8)),
            ..Timeouts::default()
        })
    };
    scene.world.sim.schedule(schedule);
    let first = scene.worker.has_seen(1).await.remove(0);
    let no_stock = Answer::of("failed", "none left").header("error", "NoStock");
    scene.inbox.reply(&first, no_stock).await;
    scene.worker.has_seen(2).await;
    let third = scene.worker.has_seen(3).await.remove(2);
    scene
        .inbox
        .reply(&third, Answer::of("completed", "7"))
        .await;
    scene
        .world
        .until("the last attempt completed", |s| s.completed == 1)
        .await;

    let ended = execution(&scene.world);
    assert_eq!(
        (ended.status, ended.output.as_deref()),
        (ExecutionStatus::Succeeded, Some("7"))
    );
    let attempts = ended.attempts.iter().map(|id| scene.world.sim.task(id));
    let states: Vec<_> = attempts.map(|task| task.expect("a record").state).collect();
    assert_eq!(
        states,
        [TaskState::Failed, TaskState::TimedOut, TaskState::Completed]
    );
    let seen = scene.worker.seen();
    assert!(seen.iter().all(|task| task.body == "[7]"));
    assert!(first.id() != seen[1].id() && seen[1].id() != third.id());
}

#[tokio::test]
async fn one_process_serves_both_services_at_once() {
    let world = World::new().await;
    let routes = [
        ("orders", Swf),
        ("refunds", Swf),
        ("thumbnails", StepFunctions),
        ("invoices", StepFunctions),
    ];
    let mut workers = Vec::new();
    for (name, _) in routes {
        workers.push(world.worker(name, move |_| Answer::done(name)).await);
    }
    let configured = routes.map(|(name, source)| Route::new(name).of(source));
    let bridge = world.bridge(&configured).await;
    for route in &configured {
        world.sim.schedule(Schedule {
            count: 100,
            ..world.task_for(route)
        });
    }
    world.until("all completed", |s| s.completed == 400).await;
    world.assert_each_completed_once(400);
    for (name, source) in routes {
        let tasks = world.sim.tasks().into_iter();
        let of_route = tasks.filter(|task| task.task_list == source.list(name));
        let results: Vec<_> = of_route.filter_map(|task| task.result).collect();
        assert_eq!(results, vec![source.result(name); 100]);
        assert_eq!(bridge.route(name).await, (true, "polling".to_owned()));
    }
    for (worker, (_, source)) in workers.iter().zip(routes) {
        let expected = match source {
            Swf => "swf",
            StepFunctions => "step-functions",
        };
        for task in worker.seen() {
            assert_eq!(task.header("source").as_deref(), Some(expected));
        }
    }
    bridge.idle().await;
}
