//! The examples in `deploy/keda/` and the document ask for what a bridge serves.

use crate::{blocks, files, metrics::exported, text_of};
use activity_bridge::admin::scale::RouteWork;
use serde_json::Value;
use std::collections::BTreeSet;

const STANDALONE: &str = "deploy/keda/standalone.yaml";

fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

fn answer() -> Value {
    let work = RouteWork {
        route: "payments".to_owned(),
        source: "swf",
        work: Some(12),
        pending_at_aws: Some(7),
        pending_is_truncated: false,
        pending_age_secs: Some(3),
        in_flight: 5,
        publishing: 0,
        waiting: 2,
        working: 3,
        settling: 0,
        unknown: None,
    };
    serde_json::to_value(work).expect("JSON")
}

#[test]
fn the_documented_answer_has_the_fields_that_there_are() {
    let shown = blocks(&text_of("docs/kubernetes.md"), "json");
    let shown = shown.iter().find(|block| block.contains("pending_at_aws"));
    let shown: Value = serde_json::from_str(shown.expect("it is shown")).expect("JSON");
    assert_eq!(shown, answer());
}

#[test]
fn the_examples_for_keda_are_documented_and_ask_for_what_there_is() {
    let document = text_of("docs/kubernetes.md");
    for path in files("deploy/keda", "yaml") {
        let name = path.file_name().expect("a name").display().to_string();
        let link = format!("](../deploy/keda/{name})");
        assert!(document.contains(&link), "{name}");
        let text = text_of(&path);
        assert!(text.contains("stabilizationWindowSeconds: "), "{name}");
        // Step Functions does not tell of a task that waits, so a worker stays.
        let fewest = u8::from(text.contains("AWS/States"));
        assert!(
            text.contains(&format!("minReplicaCount: {fewest}\n")),
            "{name}"
        );
    }
    let standalone = text_of(STANDALONE);
    assert!(standalone.contains(":9464/scale/payments\n"));
    let (_, location) = standalone
        .split_once("valueLocation: ")
        .expect("a location");
    let location = location.lines().next().expect("a line");
    assert!(keys(&answer()).contains(location), "{location}");
}

#[test]
fn the_query_for_prometheus_has_only_metrics_that_there_are() {
    let there = exported();
    let example = text_of("deploy/keda/prometheus.yaml");
    let asked = example.split("activity_bridge_").skip(1);
    let name = |rest: &str| rest.split('{').next().expect("a name").to_owned();
    let asked: BTreeSet<_> = asked.map(name).collect();
    assert!(!asked.is_empty());
    for name in asked {
        let series = format!("activity_bridge_{name}{{route=\"ROUTE\"");
        assert!(there.contains(&series), "{name}");
    }
}

/// A worker that is scaled away finishes its tasks, and the pod waits for it.
#[test]
fn the_worker_of_the_example_has_time_for_the_longest_task_of_the_bridge() {
    let number = |text: &str, mark: &str| -> u64 {
        let (_, rest) = text.split_once(mark).expect("the mark");
        let digits = rest.trim_start().chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse().expect("a number")
    };
    let longest = number(
        &text_of("deploy/kubernetes/standalone-endpoint.yaml"),
        "start_to_close_secs = ",
    );
    let grace = number(&text_of(STANDALONE), "terminationGracePeriodSeconds:");
    assert!(grace > longest, "{grace} s, and a task takes {longest} s");
}
