//! Headers: each is a long string or a 64-bit integer, which every client reads.

use super::unix_ms;
use crate::harness::{DOMAIN, Scene, Source, StepFunctions, Swf, TaskMessage};
use activity_sim::{ActivityType, Schedule, activity_arn};
use lapin::types::AMQPValue;
use rstest::rstest;
use std::collections::BTreeSet;

/// A header, which must be a long string.
fn text(task: &TaskMessage, name: &str) -> String {
    match value(task, name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

/// A header, which must be a 64-bit integer.
fn integer(task: &TaskMessage, name: &str) -> i64 {
    match value(task, name) {
        Some(AMQPValue::LongLongInt(number)) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

fn value<'t>(task: &'t TaskMessage, name: &str) -> Option<&'t AMQPValue> {
    let table = task.properties.headers().as_ref().expect("headers");
    table.inner().get(name)
}

/// The activity id and the message of a plain task, on a route with these settings.
async fn message(source: Source, settings: &str) -> (String, TaskMessage) {
    let scene = Scene::of(source, settings).await;
    scene.task(scene.plain()).await
}

#[rstest]
#[case::swf(
    Swf,
    &[
        "domain",
        "task-list",
        "workflow-id",
        "run-id",
        "activity-id",
        "activity-type",
        "activity-version",
        "started-event-id",
    ],
)]
#[case::step_functions(StepFunctions, &["activity-arn"])]
#[tokio::test]
async fn no_header_is_there_but_the_documented_ones(
    #[case] source: Source,
    #[case] own: &[&'static str],
) {
    let mut expected = BTreeSet::from(["route", "source", "reply-queue"]);
    expected.extend(own);
    let names = |task: &TaskMessage| -> BTreeSet<String> {
        let table = task.properties.headers().as_ref().expect("headers");
        table.inner().keys().map(ToString::to_string).collect()
    };
    let (_, task) = message(source, "").await;
    assert!(names(&task).iter().eq(&expected), "{:?}", names(&task));

    let timeouts = "start_to_close_secs = 600\nheartbeat = { timeout_secs = 45 }";
    let scene = Scene::of(source, timeouts).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let schedule = Schedule {
        input: Some(format!(r#"{{"traceparent": "{traceparent}"}}"#)),
        ..scene.plain()
    };
    let (_, task) = scene.task(schedule).await;
    expected.extend(["deadline-ms", "heartbeat-timeout-secs", "traceparent"]);
    assert!(names(&task).iter().eq(&expected), "{:?}", names(&task));
}

#[rstest]
#[tokio::test]
async fn route_is_the_routes_name(#[values(Swf, StepFunctions)] source: Source) {
    let (_, task) = message(source, "").await;
    assert_eq!(text(&task, "route"), "payments");
}

#[tokio::test]
async fn source_is_swf_or_step_functions() {
    for (source, expected) in [(Swf, "swf"), (StepFunctions, "step-functions")] {
        let (_, task) = message(source, "").await;
        assert_eq!(text(&task, "source"), expected);
    }
}

#[tokio::test]
async fn activity_arn_is_as_configured() {
    let (_, task) = message(StepFunctions, "").await;
    assert_eq!(text(&task, "activity-arn"), activity_arn("payments"));
}

#[tokio::test]
async fn domain_and_task_list_are_as_configured() {
    let (_, task) = message(Swf, "").await;
    assert_eq!(text(&task, "domain"), DOMAIN);
    assert_eq!(text(&task, "task-list"), "payments");
}

#[tokio::test]
async fn workflow_id_and_run_id_are_the_workflow_executions() {
    let scene = Scene::new().await;
    let (id, task) = scene
        .task(Schedule {
            workflow_id: Some("order-7".to_owned()),
            ..scene.plain()
        })
        .await;
    assert_eq!(text(&task, "workflow-id"), "order-7");
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(text(&task, "run-id"), record.run_id);
}

#[tokio::test]
async fn activity_id_is_the_one_that_the_decider_gave() {
    let scene = Scene::new().await;
    let id = scene.world.sim.schedule(scene.plain()).remove(0);
    let task = scene.worker.has_seen(1).await.remove(0);
    assert_eq!(text(&task, "activity-id"), id);
}

#[tokio::test]
async fn activity_type_and_activity_version_are_the_activity_types() {
    let scene = Scene::new().await;
    let (_, task) = scene
        .task(Schedule {
            activity_type: ActivityType::new("charge", "2.1"),
            ..scene.plain()
        })
        .await;
    assert_eq!(text(&task, "activity-type"), "charge");
    assert_eq!(text(&task, "activity-version"), "2.1");
}

#[tokio::test]
async fn started_event_id_is_the_number_of_an_event_in_the_history() {
    let (_, task) = message(Swf, "").await;
    assert!(integer(&task, "started-event-id") > 1);
}

#[rstest]
#[tokio::test]
async fn deadline_ms_is_when_aws_gives_the_task_up_where_that_is_known(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let before = unix_ms();
    let (_, task) = message(source, "start_to_close_secs = 600").await;
    let after = unix_ms();
    let deadline = integer(&task, "deadline-ms");
    assert!(
        (before + 600_000..=after + 600_000).contains(&deadline),
        "{before} {deadline} {after}"
    );
    let (_, task) = message(source, "heartbeat = { timeout_secs = 45 }").await;
    assert_eq!(value(&task, "deadline-ms"), None);
}

#[rstest]
#[tokio::test]
async fn heartbeat_timeout_secs_is_there_where_the_timeout_is_known(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let (_, task) = message(source, "heartbeat = { timeout_secs = 45 }").await;
    assert_eq!(integer(&task, "heartbeat-timeout-secs"), 45);
    let (_, task) = message(source, "start_to_close_secs = 600").await;
    assert_eq!(value(&task, "heartbeat-timeout-secs"), None);
}

#[rstest]
#[tokio::test]
async fn reply_queue_is_the_same_as_reply_to(#[values(Swf, StepFunctions)] source: Source) {
    let (_, task) = message(source, "").await;
    assert_eq!(text(&task, "reply-queue"), task.reply_to());
}
