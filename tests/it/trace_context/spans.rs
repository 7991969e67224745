//! The bridge's own spans, as a collector receives them.

use super::{
    PARENT, TRACE,
    collector::{Collector, Span},
    traceparent,
};
use crate::harness::{
    Act, Answer, DOMAIN, HOLD, HttpFront, Route, TaskMessage, Worker, World, is_endpoint,
};
use activity_sim::{Schedule, TaskState};
use tokio::net::TcpListener;

/// What must not leave the process: of the input, of the results, of the reasons.
const SECRET: &str = "hunter2";
/// What every token of the simulator's begins with.
const TOKEN: &str = "AAAAKgAAAAIAAAAAAAAA";

fn otlp(endpoint: &str) -> String {
    format!("[otlp]\nendpoint = \"{endpoint}\"\n")
}

fn input_of(traceparent: &str) -> Schedule {
    Schedule {
        input: Some(format!(
            r#"{{"traceparent": "{traceparent}", "card": "{SECRET}"}}"#
        )),
        workflow_id: Some("order-7".to_owned()),
        ..Schedule::new(DOMAIN, "payments")
    }
}

async fn answering(world: &World, answer: Answer) -> Worker {
    world
        .worker("payments", move |_| vec![answer.clone()])
        .await
}

/// Lets one task go through a bridge, and the bridge end; gives back the task's message and all spans.
async fn spans_of(schedule: Schedule, answers: Vec<Answer>) -> (TaskMessage, Vec<Span>) {
    let (world, collector) = (World::new().await, Collector::start().await);
    let worker = world.worker("payments", move |_| answers.clone()).await;
    let mut bridge = world
        .bridge_with(&otlp(&collector.url), &[Route::new("payments")])
        .await;
    let id = world.sim.schedule(schedule).remove(0);
    let record = world.closed(&id).await;
    assert!(record.settle_calls == 1, "{record:?}");
    bridge.idle().await;
    assert!(bridge.terminate().await.success());
    let exported = collector.everything();
    for secret in [SECRET, TOKEN] {
        let found = exported
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} was exported");
    }
    (worker.has_seen(1).await.remove(0), collector.spans())
}

#[track_caller]
fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name} in {spans:#?}");
    span
}

#[tokio::test]
async fn a_tasks_span_continues_the_trace_of_its_input_and_the_message_carries_the_span() {
    let answers = [vec![Answer::of("started", "")], Answer::done(SECRET)].concat();
    let (message, spans) = spans_of(input_of(&traceparent("01")), answers).await;
    let task = named(&spans, "activity_task");
    assert_eq!(
        (task.trace_id.as_str(), task.parent_id.as_str()),
        (TRACE, PARENT)
    );
    assert_eq!(
        message.header("traceparent"),
        Some(format!("00-{TRACE}-{}-01", task.span_id))
    );
    let id = message.id();
    let system = match is_endpoint() {
        true => "activity_bridge",
        false => "rabbitmq",
    };
    for (name, value) in [
        ("messaging.system", system),
        ("messaging.destination.name", "payments"),
        ("messaging.message.id", &id[..8]),
        ("activity_bridge.route", "payments"),
        ("activity_bridge.source", "swf"),
        ("activity_bridge.workflow_id", "order-7"),
        ("activity_bridge.activity_type", "activity"),
        ("activity_bridge.outcome", "completed"),
        ("activity_bridge.end", "accepted"),
    ] {
        assert_eq!(task.attribute(name), Some(value), "{name} of {task:#?}");
    }
    for (name, end) in [
        ("record", "recorded"),
        ("publish", "confirmed"),
        ("wait", "started"),
        ("work", "answered"),
        ("settle", "accepted"),
    ] {
        let child = named(&spans, name);
        assert_eq!(child.trace_id, TRACE);
        assert_eq!(child.parent_id, task.span_id);
        assert_eq!(child.attribute("activity_bridge.end"), Some(end));
        assert!(task.start <= child.start && child.start <= child.end && child.end <= task.end);
    }
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");
    let [wait, work, settle] = ["wait", "work", "settle"].map(|name| named(&spans, name));
    assert!(
        wait.end <= work.start && work.end <= settle.start,
        "{spans:#?}"
    );
    assert_eq!(spans.len(), 6, "{spans:#?}");
}

#[tokio::test]
async fn a_task_without_trace_context_begins_a_trace_and_a_failed_one_has_a_failed_span() {
    let answer = Answer {
        headers: vec![("reason", SECRET.to_owned())],
        ..Answer::of("failed", SECRET)
    };
    let (message, spans) = spans_of(Schedule::new(DOMAIN, "payments"), vec![answer]).await;
    let task = named(&spans, "activity_task");
    assert_eq!(task.parent_id, "");
    assert_eq!(
        message.header("traceparent"),
        Some(format!("00-{}-{}-01", task.trace_id, task.span_id))
    );
    assert_eq!(task.attribute("activity_bridge.outcome"), Some("failed"));
    assert_eq!(task.attribute("error.type"), Some("failed"));
    assert!(task.failed && !named(&spans, "settle").failed);
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_goes_on_without_being_exported() {
    let answers = Answer::done("ok");
    let (message, spans) = spans_of(input_of(&traceparent("00")), answers).await;
    assert!(spans.is_empty(), "{spans:#?}");
    let header = message.header("traceparent").expect("a header");
    assert!(header.starts_with(&format!("00-{TRACE}-")) && header.ends_with("-00"));
    assert!(
        !header.contains(PARENT),
        "the bridge is a part of the trace"
    );
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_up_neither_tasks_nor_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let world = World::new().await;
    let _worker = answering(&world, Answer::done("ok").remove(0)).await;
    let settings = format!("[shutdown]\ngrace_secs = 30\n{}", otlp(&endpoint));
    let mut bridge = world
        .bridge_with(&settings, &[Route::new("payments")])
        .await;
    world.schedule("payments", 50);
    world.until("all completed", |s| s.completed == 50).await;
    assert!(
        world
            .sim
            .tasks()
            .iter()
            .all(|task| task.state == TaskState::Completed)
    );
    bridge.logged("spans could not be exported").await;
    assert!(bridge.terminate().await.success());
    let warnings = bridge.log().matches("spans could not be exported").count();
    assert_eq!(warnings, 1, "{}", bridge.log());
}

#[tokio::test]
async fn spans_go_through_the_proxy_that_the_environment_names() {
    let (world, collector) = (World::of_the_endpoint(HOLD).await, Collector::start().await);
    let addr = collector.url.trim_start_matches("http://");
    let addr = addr.parse().expect("an address");
    let proxy = HttpFront::start(move |_| Act::Pass(addr)).await;
    let _worker = answering(&world, Answer::done("ok").remove(0)).await;
    let url = format!("http://{}", proxy.addr);
    let env = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1")];
    let settings = otlp("http://collector.test:4318");
    let mut bridge = world
        .bridge_in(&env, &settings, &[Route::new("payments")])
        .await;
    let id = world.schedule("payments", 1).remove(0);
    world.closed(&id).await;
    bridge.idle().await;
    assert!(bridge.terminate().await.success());
    named(&collector.spans(), "activity_task");
    let seen = proxy.seen();
    let is_export = |line: &str| line.starts_with("POST http://collector.test:4318/v1/traces ");
    assert!(seen.iter().all(|head| is_export(&head.line)), "{seen:?}");
}
