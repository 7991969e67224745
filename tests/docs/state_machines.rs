//! State machines are told the errors that there are.

use crate::{blocks, plain, rows, text_of};
use serde_json::Value;
use std::collections::BTreeSet;

/// The error names of the bridge's own in a text.
fn names(text: &str) -> BTreeSet<String> {
    const PREFIX: &str = "ActivityBridge.";
    let name = |rest: &str| -> String { rest.chars().take_while(|c| c.is_alphabetic()).collect() };
    let found = text.split(PREFIX).skip(1).map(name);
    found.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_documented_errors_are_those_that_there_are() {
    let rows = rows(&text_of("docs/worker-protocol.md"), "When");
    let documented: BTreeSet<_> = rows.iter().flat_map(|row| names(plain(&row[1]))).collect();
    let existing = names(&text_of("src/task/outcome.rs"));
    assert_eq!(documented, existing);
    assert!(names(&text_of("docs/state-machines.md")).is_subset(&existing));
    assert_eq!(names(&text_of("docs/workers-faq.md")), existing);
}

#[test]
fn the_state_machine_is_json_and_every_next_state_exists() {
    let machine: Value =
        serde_json::from_str(&blocks(&text_of("docs/state-machines.md"), "json")[0]).expect("JSON");
    let states = machine["States"].as_object().expect("states");
    assert!(states.contains_key(machine["StartAt"].as_str().expect("a name")));
    for catcher in states
        .values()
        .filter_map(|state| state["Catch"].as_array())
        .flatten()
    {
        assert!(
            states.contains_key(catcher["Next"].as_str().expect("a name")),
            "{catcher}"
        );
    }
}
