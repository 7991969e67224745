//! Metrics, log lines and the life of a task are documented as they are.

use crate::{plain, root, rows, text_of};
use activity_bridge::{
    inflight::lifecycle::{Command, Event, State, step},
    metrics::Metrics,
};
use std::{collections::BTreeSet, fs};

#[test]
fn the_documented_metrics_are_those_that_there_are() {
    let rows = rows(&text_of("docs/operations.md"), "Metric");
    let documented: BTreeSet<_> = rows.iter().map(|row| plain(&row[0]).to_owned()).collect();
    let metrics = Metrics::new().expect("well-formed names");
    drop(metrics.for_route("a", "swf"));
    let text = String::from_utf8(metrics.render().expect("encodes")).expect("UTF-8");
    let name = |line: &str| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned());
    let existing: BTreeSet<_> = text.lines().filter_map(name).collect();
    assert_eq!(documented, existing);
}

/// All of the bridge's source.
fn code() -> String {
    let mut code = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            match entry.expect("readable").path() {
                path if path.is_dir() => folders.push(path),
                path => code += &text_of(path),
            }
        }
    }
    code
}

#[test]
fn the_documented_log_lines_and_errors_are_in_the_code() {
    let code = code();
    for (document, heading) in [
        ("docs/operations.md", "Line"),
        ("docs/token-stores.md", "What it says"),
    ] {
        for row in rows(&text_of(document), heading) {
            let line = plain(&row[0]);
            assert!(code.contains(line), "nothing says {line:?}");
        }
    }
}

#[test]
fn the_documented_life_of_a_task_is_the_functions() {
    use Event as E;
    use State as S;
    let states = [
        S::Publishing,
        S::Returned,
        S::Dispatched,
        S::Settling,
        S::Ended,
    ];
    let events = [
        E::Confirmed,
        E::Returned,
        E::PublishFailed,
        E::GiveUp,
        E::FinalReply,
        E::Beat,
        E::Gone,
        E::Settled,
    ];
    let rows = rows(&text_of("ARCHITECTURE.md"), "State");
    let lists = |cell: &str, name: String| cell.split(", ").any(|listed| listed == name);
    for state in states {
        for event in events {
            let row = rows.iter().find(|row| {
                lists(&row[0], format!("{state:?}")) && lists(&row[1], format!("{event:?}"))
            });
            let (next, command) = match row {
                None => (format!("{state:?}"), String::new()),
                Some(row) if row[2] == "the same" => (format!("{state:?}"), row[3].clone()),
                Some(row) => (row[2].clone(), row[3].clone()),
            };
            let command = if command.is_empty() {
                "Nothing"
            } else {
                &command
            };
            let (expected_next, expected): (State, Command) = step(state, event);
            assert_eq!(
                (next.as_str(), command),
                (
                    format!("{expected_next:?}").as_str(),
                    format!("{expected:?}").as_str()
                ),
                "{state:?} {event:?}"
            );
        }
    }
}
