//! The tables of metrics in the documents are made from the code, and so is that of a route's reasons.
//!
//! `WRITE_DOCS=1 cargo test --test docs metrics` writes the table anew.

use crate::{plain, root, rows, text_of};
use activity_bridge::{
    metrics::{Metrics, RouteReason, RouteSnapshot},
    util::Label,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

const DOCUMENT: &str = "docs/operations.md";
const BEGIN: &str =
    "<!-- made from the code by `WRITE_DOCS=1 cargo test --test docs metrics` -->\n";
const END: &str = "<!-- the end of what is made from the code -->\n";

/// Where the documents say more about a metric than its own help, which other programs show as plain text.
const MORE: &[(&str, &str)] = &[
    (
        "adopted_tasks_total",
        "[Recovery](token-stores.md#recovery)",
    ),
    ("config_last_reload_successful", "[Reload](#reload)"),
    (
        "deliveries_total",
        "[What an acknowledgement does](brokers.md#what-an-acknowledgement-does)",
    ),
    (
        "parked_replies_total",
        "[The parking queue](#the-parking-queue)",
    ),
    (
        "republished_total",
        "[A queue that is lost](#a-queue-that-is-lost), [release](#release-tasks)",
    ),
    ("route_work", "[Scale workers](kubernetes.md#scale-workers)"),
    (
        "tasks_pending_at_aws",
        "[Scale workers](kubernetes.md#scale-workers)",
    ),
    ("route_state", "[Reasons](#why-a-route-polls-or-does-not)"),
    ("settlements_total", "[Settlements](#settlements)"),
    (
        "store_unreadable",
        "[What can't be read](token-stores.md#what-cant-be-read)",
    ),
    ("task_leg_duration_seconds", "[Legs](#legs)"),
    (
        "tasks_missing_from_queue",
        "[A queue that may have been purged](#a-queue-that-may-have-been-purged)",
    ),
];

/// The metrics of a bridge with one route.
pub(crate) fn exported() -> String {
    let metrics = Metrics::new().expect("well-formed names");
    let _counters = metrics.for_route("ROUTE", "SOURCE");
    let route = RouteSnapshot {
        route: "ROUTE",
        source: "SOURCE",
        reason: RouteReason::Polling,
        ready: true,
        slots: 1,
        slots_taken: 0,
        in_flight: [0; 4],
        oldest: Duration::ZERO,
        pending: Some(0),
        work: Some(0),
        unacknowledged: Some(0),
    };
    let text = metrics.render(&[route]).expect("encodes");
    String::from_utf8(text).expect("UTF-8")
}

/// A family of metrics, as Prometheus's text format tells it.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    /// The values of each label but those of the route, in the order in which the code lists them.
    labels: BTreeMap<String, Vec<String>>,
    is_of_a_route: bool,
}

fn families() -> BTreeMap<String, Family> {
    let text = exported();
    let mut found = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                found.entry(name.to_owned()).or_default().help = help.to_owned();
            }
            ["#", "TYPE", name, kind] => {
                found.entry(name.to_owned()).or_default().kind = kind.to_owned();
            }
            _ => {
                let (name, labels) = line.split_once('{').unwrap_or((line, ""));
                let name = name.split(' ').next().expect("a name");
                let ends = ["_bucket", "_sum", "_count"];
                let stem = ends.iter().find_map(|end| name.strip_suffix(end));
                let stem = stem.filter(|stem| found.contains_key(*stem));
                let family = found.get_mut(stem.unwrap_or(name)).expect("its TYPE");
                let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
                for label in labels.split(',').filter(|label| !label.is_empty()) {
                    let (label, value) = label.split_once('=').expect("a label");
                    let value = value.trim_matches('"').to_owned();
                    match label {
                        "route" => family.is_of_a_route = true,
                        "source" | "le" => {}
                        _ => {
                            let values = family.labels.entry(label.to_owned()).or_default();
                            if !values.contains(&value) {
                                values.push(value);
                            }
                        }
                    }
                }
            }
        }
    }
    found
}

fn table() -> String {
    let mut table = String::from("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    let mut more: BTreeMap<_, _> = MORE.iter().copied().collect();
    for (name, family) in families() {
        let mut labels: Vec<_> = match family.is_of_a_route {
            true => vec!["`route`, `source`".to_owned()],
            false => Vec::new(),
        };
        for (label, values) in &family.labels {
            let values = match label.as_str() {
                // It changes with each version.
                "version" => String::new(),
                _ => format!(": `{}`", values.join("` `")),
            };
            labels.push(format!("`{label}`{values}"));
        }
        let short = name.strip_prefix("activity_bridge_").unwrap_or(&name);
        let link = more.remove(short);
        let link = link.map_or(String::new(), |link| format!(" {link}."));
        let Family { kind, help, .. } = family;
        let help = help.replace('|', "\\|");
        table.push_str(&format!(
            "| `{name}` | {kind} | {} | {help}{link} |\n",
            labels.join("; ")
        ));
    }
    assert!(more.is_empty(), "no such metrics: {more:?}");
    table
}

#[test]
fn the_table_of_metrics_is_made_from_the_code() {
    let text = text_of(DOCUMENT);
    let (before, rest) = text.split_once(BEGIN).expect("the mark of the beginning");
    let (written, after) = rest.split_once(END).expect("the mark of the end");
    let expected = format!("\n{}\n", table());
    if written == expected {
        return;
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{expected}{END}{after}");
        return fs::write(root().join(DOCUMENT), text).expect("written");
    }
    let written: BTreeSet<_> = written.lines().collect();
    let missing: Vec<_> = expected
        .lines()
        .filter(|row| !written.contains(row))
        .collect();
    panic!(
        "{DOCUMENT}: the table of metrics differs from the code, in these rows among others: {missing:#?}\n\
         WRITE_DOCS=1 cargo test --test docs metrics writes it anew"
    );
}

#[test]
fn every_metric_says_what_it_means_in_one_sentence_or_more() {
    for (name, family) in families() {
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        assert!(
            ["counter", "gauge", "histogram"].contains(&family.kind.as_str()),
            "{name}"
        );
    }
}

#[test]
fn the_documented_reasons_and_legs_are_those_that_there_are() {
    let operations = text_of(DOCUMENT);
    let families = families();
    for (heading, family, label) in [
        ("Reason", "activity_bridge_route_state", "reason"),
        ("Leg", "activity_bridge_task_leg_duration_seconds", "leg"),
    ] {
        let rows = rows(&operations, heading);
        let documented: BTreeSet<_> = rows.iter().map(|row| plain(&row[0])).collect();
        let existing = families[family].labels[label].iter();
        assert_eq!(
            documented,
            existing.map(String::as_str).collect(),
            "{heading}"
        );
    }
    assert_eq!(rows(&operations, "Reason").len(), RouteReason::ALL.len());
}
