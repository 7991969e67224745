//! The documents name the keys that a reload changes.

use crate::text_of;
use activity_bridge::config::written::RELOADED;

#[test]
fn the_reference_names_each_key_outside_of_the_routes_that_a_reload_changes() {
    let text = text_of("docs/configuration.md");
    let (_, section) = text.split_once("\n## Reload\n").expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let code = section.split('`').skip(1).step_by(2);
    let mut keys: Vec<_> = code.filter(|code| code.contains('.')).collect();
    keys.sort_unstable();
    assert_eq!(keys, RELOADED);
}
