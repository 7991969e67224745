//! Trace context: an input's `traceparent` reaches the worker, and the input stays as it is.
//!
//! What a binary with the feature `otlp` does beyond that is in `spans`.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod spans;

use crate::harness::{Answer, DOMAIN, Route, Scene, World};
use activity_sim::Schedule;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

#[tokio::test]
async fn the_traceparent_of_an_input_goes_out_as_a_header_and_the_input_untouched() {
    let scene = Scene::new().await;
    let valid = traceparent("01");
    let input = format!("{{ \"n\" : 1,\n\t\"traceparent\":\"{valid}\", \"größe\": [ ] }}\n");
    let schedule = Schedule {
        input: Some(input.clone()),
        ..scene.plain()
    };
    let (_, task) = scene.task(schedule).await;
    assert_eq!(task.body, input, "byte for byte");
    assert_eq!(task.header("traceparent"), Some(valid));
}

#[tokio::test]
async fn what_is_no_valid_traceparent_at_the_top_level_goes_out_in_no_header() {
    let scene = Scene::new().await;
    let valid = traceparent("01");
    for input in [
        String::new(),
        valid.clone(),
        format!(r#"["{valid}"]"#),
        format!(r#"{{"inner": {{"traceparent": "{valid}"}}}}"#),
        format!(r#"{{"traceparent": "{valid}", "traceparent": "{valid}"}}"#),
        format!(r#"{{"traceparent": "{valid}""#),
        r#"{"traceparent": 7}"#.to_owned(),
        r#"{"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"}"#.to_owned(),
    ] {
        let schedule = Schedule {
            input: Some(input.clone()),
            ..scene.plain()
        };
        let (_, task) = scene.task(schedule).await;
        assert_eq!(task.body, input, "byte for byte");
        assert_eq!(task.header("traceparent"), None, "{input}");
    }
}

#[tokio::test]
async fn the_log_lines_about_a_task_carry_the_trace_of_its_input() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Answer::done("ok")).await;
    let env = [("ACTIVITY_BRIDGE_LOG__LEVEL", "debug")];
    let bridge = world.bridge_in(&env, "", &[Route::new("payments")]).await;
    let with_trace = Schedule {
        input: Some(format!(r#"{{"traceparent": "{}"}}"#, traceparent("01"))),
        ..Schedule::new(DOMAIN, "payments")
    };
    let mut ids = Vec::new();
    for schedule in [with_trace, Schedule::new(DOMAIN, "payments")] {
        let activity = world.sim.schedule(schedule).remove(0);
        world.closed(&activity).await;
        let seen = worker.has_seen(ids.len() + 1).await;
        let id = seen.last().expect("it was seen").id();
        ids.push(id[..8].to_owned());
    }
    bridge.idle().await;
    let log = bridge.log();
    let lines = |id: &str| -> Vec<&str> {
        let about = format!("task={id}");
        log.lines().filter(|line| line.contains(&about)).collect()
    };
    let trace = format!(" trace_id={TRACE}");
    for said in ["polled", "settled"] {
        let line = lines(&ids[0]).into_iter().find(|line| line.contains(said));
        assert!(
            line.is_some_and(|line| line.ends_with(&trace)),
            "{said}: {log}"
        );
    }
    let without = lines(&ids[1]);
    assert!(without.len() >= 2, "{log}");
    assert!(
        without.iter().all(|line| !line.contains("trace_id")),
        "{log}"
    );
}
