//! The settings as they are written, with their variables filled in. A reload compares them with those of the start.

use figment::value::{Dict, Value};
use std::fmt;

/// The list of routes. A reload compares each route by its name.
const ROUTES: &str = "routes";

/// The keys outside of the routes that a reload changes, in order.
pub const RELOADED: [&str; 7] = [
    "amqp.default_prefetch",
    "amqp.max_channels",
    "amqp.max_connections",
    "amqp.max_consumers",
    "amqp.max_message_bytes",
    "amqp.max_own_queues",
    "log.level",
];

/// See the module. It has passwords, so `Debug` shows nothing.
#[derive(Clone, Default)]
pub struct Written(Dict);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl Written {
    pub(super) fn new(settings: Dict) -> Self {
        Self(settings)
    }

    /// The keys whose values differ from those of the start, and that a reload does not change. In the order of their names.
    #[must_use]
    pub fn needs_restart(&self, at_start: &Self) -> Vec<String> {
        let mut keys = self.differ(at_start);
        keys.retain(|key| !RELOADED.contains(&key.as_str()));
        keys
    }

    /// The keys outside of the routes whose values differ from those before, and that a reload changes.
    #[must_use]
    pub fn reloaded(&self, before: &Self) -> Vec<String> {
        let mut keys = self.differ(before);
        keys.retain(|key| RELOADED.contains(&key.as_str()));
        keys
    }

    fn differ(&self, before: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        compare("", &before.0, &self.0, &mut keys);
        keys
    }
}

fn compare(table: &str, before: &Dict, now: &Dict, differ: &mut Vec<String>) {
    let none = Dict::new();
    let removed = before.keys().filter(|key| !now.contains_key(*key));
    let mut keys: Vec<_> = now.keys().chain(removed).collect();
    keys.sort();
    for key in keys {
        let path = match table {
            "" => key.clone(),
            table => format!("{table}.{key}"),
        };
        if path == ROUTES {
            continue;
        }
        match (before.get(key), now.get(key)) {
            (Some(Value::Dict(_, before)), Some(Value::Dict(_, now))) => {
                compare(&path, before, now, differ);
            }
            (Some(Value::Dict(_, before)), None) => compare(&path, before, &none, differ),
            (None, Some(Value::Dict(_, now))) => compare(&path, &none, now, differ),
            (before, now) if before == now => {}
            _ => differ.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const ROUTE: &str =
        "[[routes]]\nname = \"r\"\nqueue = \"r\"\nswf = { domain = \"d\", task_list = \"l\" }\n";

    fn read(text: &str) -> Config {
        let text = format!("{text}\n{ROUTE}");
        text.parse().expect("valid")
    }

    fn keys(before: &str, now: &str) -> Vec<String> {
        read(now).written.needs_restart(&read(before).written)
    }

    #[test]
    fn what_a_reload_changes_is_named_too() {
        let bounds = "default_prefetch = 3\nmax_channels = 3\nmax_connections = 3\nmax_consumers = 3\n\
                      max_message_bytes = 262144\nmax_own_queues = 3";
        let now = read(&format!("[log]\nlevel = \"warn\"\n[amqp]\n{bounds}")).written;
        assert_eq!(now.reloaded(&read("").written), super::RELOADED);
        assert!(now.reloaded(&now).is_empty());
    }

    #[test]
    fn what_a_reload_does_not_change_is_named_by_its_key() {
        for (before, now, expected) in [
            ("", "", &[][..]),
            ("[log]\nlevel = \"info\"", "[log]\nlevel = \"warn\"", &[]),
            (
                "",
                "[log]\nlevel = \"warn\"\nformat = \"json\"",
                &["log.format"],
            ),
            (
                "[admin]\nlisten = \"127.0.0.1:1\"",
                "[shutdown]\ngrace_secs = 80",
                &["admin.listen", "shutdown.grace_secs"],
            ),
            (
                "[[amqp.users]]\nname = \"a\"\npassword_file = \"/a\"",
                "[[amqp.users]]\nname = \"a\"\npassword_file = \"/b\"",
                &["amqp.users"],
            ),
        ] {
            assert_eq!(keys(before, now), expected, "{now:?}");
        }
    }
}
