//! `/status.json` is documented as it is.

use crate::{blocks, text_of};
use activity_bridge::{
    admin::status::{
        Status,
        shape::{Advice, Note, Problem, QueueStatus, RouteStatus},
    },
    metrics::LegTotals,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// A status that has everything.
fn full() -> Status {
    let note = Note {
        advice: Some(Advice::default()),
        ..Note::default()
    };
    let mut status = Status {
        advice: Some(Advice::default()),
        routes: vec![RouteStatus {
            advice: Some(Advice::default()),
            notes: vec![note.clone()],
            queue: Some(QueueStatus::default()),
            legs: vec![LegTotals::default()],
            ..RouteStatus::default()
        }],
        problems: vec![Problem {
            advice: Some(Advice::default()),
            ..Problem::default()
        }],
        ..Status::default()
    };
    status.store.notes.push(note);
    status
}

/// The paths of all fields.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = format!("{path}.{key}");
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, path, found)),
        _ => {}
    }
}

#[test]
fn the_documented_fields_of_the_status_are_those_that_there_are() {
    let document = text_of("docs/operations.md");
    let blocks = blocks(&document, "json");
    let example = blocks.iter().find(|block| block.contains("uptime_secs"));
    let example: Value = serde_json::from_str(example.expect("an example")).expect("JSON");
    let (mut documented, mut existing) = (BTreeSet::new(), BTreeSet::new());
    fields(&example, "", &mut documented);
    fields(
        &serde_json::to_value(full()).expect("JSON"),
        "",
        &mut existing,
    );
    // What the example has none of: notes, and advice about the phase. They are as the others.
    existing.retain(|path| !path.contains(".notes.") && !path.starts_with(".advice."));
    assert_eq!(documented, existing);
    // The command reads what the page tells.
    serde_json::from_value::<Status>(example).expect("a status");
}
