//! How a connection names itself, for people who look at the connections of a RabbitMQ.

use crate::util::host;
use std::fmt::Write;

/// Maximum length of an identity, in bytes. It has the names of as many routes as fit in it.
const MAX_LENGTH: usize = 255;

/// Who connects: `HOST:PID` and the names of the routes that share the connection.
pub(crate) fn identity<'a>(routes: impl Iterator<Item = &'a str>) -> String {
    of_process(&host(), std::process::id(), routes)
}

fn of_process<'a>(host: &str, pid: u32, routes: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{host}:{pid}");
    let mut separator = ' ';
    let mut left_out = 0_usize;
    for route in routes {
        if left_out > 0 || text.len() + route.len() >= MAX_LENGTH {
            left_out += 1;
            continue;
        }
        text.push(separator);
        text.push_str(route);
        separator = ',';
    }
    if left_out > 0 {
        // Writing into a text does not fail.
        let _ = write!(text, "{separator}+{left_out}");
    }
    text
}

/// The client properties of a connection: what it is for, and who connects.
pub(super) fn client_properties(purpose: &str, identity: &str) -> [(&'static str, String); 3] {
    let name = format!("activity-bridge {purpose} {identity}");
    [
        ("product", "activity-bridge".to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("connection_name", name),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_after_its_purpose_the_process_and_its_routes() {
        let name = |routes: &[&str]| {
            let identity = of_process("pod-1", 7, routes.iter().copied());
            let [product, version, name] = client_properties("replies", &identity);
            assert_eq!(product, ("product", "activity-bridge".to_owned()));
            assert_eq!(version, ("version", env!("CARGO_PKG_VERSION").to_owned()));
            assert_eq!(name.0, "connection_name");
            name.1
        };
        assert_eq!(name(&[]), "activity-bridge replies pod-1:7");
        assert_eq!(name(&["a"]), "activity-bridge replies pod-1:7 a");
        assert_eq!(name(&["a", "b"]), "activity-bridge replies pod-1:7 a,b");
    }

    #[test]
    fn of_many_routes_the_first_are_named_and_the_others_counted() {
        let (host, route) = ("h".repeat(64), "r".repeat(64));
        let routes = |count| std::iter::repeat_n(route.as_str(), count);
        let two = of_process(&host, u32::MAX, routes(2));
        assert_eq!(two.matches(&route).count(), 2);
        assert!(!two.contains('+'), "{two}");
        let many = of_process(&host, u32::MAX, routes(60_000));
        assert!(
            many.starts_with(&two) && many.ends_with(",+59998"),
            "{many}"
        );
        assert!(many.len() <= MAX_LENGTH + ",+60000".len());
        let short_behind = of_process(&host, 7, routes(3).chain(["s"]));
        assert!(
            short_behind.ends_with("r,+2"),
            "in their order: {short_behind}"
        );
    }
}
