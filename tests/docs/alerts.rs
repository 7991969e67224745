//! Each alert links to a section that says what to do.

use crate::text_of;
use std::collections::BTreeSet;

const RULES: &str = "deploy/prometheus/activity-bridge.rules.yml";
const DOCUMENT: &str = "docs/alerts.md";

/// The alerts, each with the rest of its text.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let rules = rules.split("- alert: ").skip(1);
    let alerts: Vec<_> = rules.filter_map(|rule| rule.split_once('\n')).collect();
    assert!(alerts.len() >= 20, "{alerts:?}");
    alerts
}

#[test]
fn each_alert_has_a_section_to_which_it_links() {
    let (rules, document) = (text_of(RULES), text_of(DOCUMENT));
    let sections = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    let sections: BTreeSet<_> = sections.collect();
    let alerts = alerts(&rules);
    let names: BTreeSet<_> = alerts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), alerts.len(), "each name once");
    assert_eq!(
        sections, names,
        "sections of {DOCUMENT}, and alerts of {RULES}"
    );
    // Pages of the site keep their paths in the repository.
    let page = DOCUMENT.replace(".md", ".html");
    for (name, rule) in alerts {
        let anchor = name.to_lowercase();
        let link = format!("runbook_url: https://YOUR-DOCS/{page}#{anchor}\n");
        assert!(rule.contains(&link), "{name}: no {link}");
    }
}

#[test]
fn each_alert_says_how_urgent_it_is_and_what_it_means() {
    let rules = text_of(RULES);
    for (name, rule) in alerts(&rules) {
        let urgent = ["critical", "warning"].map(|severity| format!("severity: {severity}\n"));
        assert!(
            urgent.iter().any(|severity| rule.contains(severity)),
            "{name}"
        );
        assert!(
            rule.contains("summary: ") && rule.contains("description: "),
            "{name}"
        );
    }
}
