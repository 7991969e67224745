#![allow(
    clippy::result_large_err,
    reason = "the error type of the closures that figment::Jail takes is figment's"
)]

mod broker;
mod files;
mod variables;

use super::*;
use crate::broker::QueueArguments;
use crate::{
    route::{MaxReady, Pollers},
    source::swf::settings::swf_name_rule,
    store::file::FileConfig,
};
use std::time::Duration;

const SMALLEST: &str = r#"
[amqp]
uri = "amqp://127.0.0.1"
[[routes]]
name = "payments"
queue = "payments"
[routes.swf]
domain = "shop"
task_list = "payments"
"#;

fn problems(text: &str) -> Vec<String> {
    match text.parse::<Config>() {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(Problem::to_string).collect(),
        Err(other) => panic!("unreadable: {other}"),
        Ok(_) => Vec::new(),
    }
}

fn load(paths: &[&str]) -> Result<Config, ConfigError> {
    let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
    Config::load(&paths)
}

#[test]
fn the_smallest_configuration_has_sensible_defaults() {
    let config: Config = SMALLEST.parse().expect("valid");
    let route = &config.routes[0];
    let path = "/var/lib/activity-bridge/tasks.redb".into();
    assert_eq!(config.store, StoreConfig::File(FileConfig { path }));
    assert!(!config.shutdown.give_back);
    assert_eq!(config.shutdown.grace, Duration::from_secs(90));
    assert_eq!(route.pollers, Pollers { min: 2, max: 20 });
    let max_ready = MaxReady::Number(100);
    assert_eq!((route.max_in_flight, route.max_ready), (100, max_ready));
    assert!(route.dead_letters && !route.poll_without_consumers);
    let declared = QueueArguments {
        dead_letters: true,
        delivery_limit: Some(20),
    };
    let queue = route.destination.queue().expect("a queue");
    assert_eq!(queue.declare, Some(declared));
    assert_eq!(route.destination.exchange(), "");
}

#[test]
fn every_problem_is_reported_at_once_with_path_value_and_rule() {
    let found = problems(
        r#"
        [amqp]
        uri = "http://user:secret@host"
        [store]
        kind = "files"
        [admin]
        listen = "here"
        port = 1
        [[routes]]
        name = "a b"
        queue = "amq.q"
        max_in_flight = 0
        pollers = { min = 9, max = 3, maximum = 4 }
        declare = "no"
        [routes.swf]
        domain = "a:b"
        task_list = " x"
        [[routes]]
        "#,
    );
    for expected in [
        "amqp.uri: must begin with amqp:// or amqps://",
        "store.kind = \"files\": must be \"file\", \"redis\" or \"memory\"",
        "admin.listen = \"here\": must be an address",
        "admin.port: there is no such setting; the keys here are listen",
        "routes[0].name = \"a b\": must be 1 to 64",
        "routes[0].queue = \"amq.q\": must not begin",
        "routes[0].max_in_flight = 0: must be a whole number from 1 to 60000",
        "routes[0].pollers.min = 9: must not exceed",
        "routes[0].pollers.maximum: there is no such setting; did you mean \"max\"?",
        "routes[0].declare = \"no\": must be true or false",
        "routes[0].swf.domain = \"a:b\": must not contain ':'",
        "routes[0].swf.task_list = \" x\": must not begin or end with white space",
        "routes[1].name: is missing",
        "routes[1].queue: is missing",
        "routes[1].swf: is missing",
    ] {
        assert!(
            found.iter().any(|p| p.starts_with(expected)),
            "no {expected:?} in {found:#?}"
        );
    }
    assert!(!found.join("\n").contains("secret"), "a password was shown");
    assert_eq!(found.len(), 15, "{found:#?}");
}

#[test]
fn without_dead_letters_a_queue_has_no_delivery_limit_unless_it_is_given_one() {
    let with = |lines: &str| -> Config {
        let text = SMALLEST.replace("[routes.swf]", &format!("{lines}\n[routes.swf]"));
        text.parse().expect("valid")
    };
    for (lines, delivery_limit) in [
        ("dead_letters = false", None),
        ("dead_letters = false\ndelivery_limit = 3", Some(3)),
    ] {
        let declared = QueueArguments {
            dead_letters: false,
            delivery_limit,
        };
        let route = &with(lines).routes[0];
        let queue = route.destination.queue().expect("a queue");
        assert_eq!(queue.declare, Some(declared), "{lines}");
    }
}

#[test]
fn an_exchange_goes_with_a_routing_key_and_a_route_without_a_queue_polls_without_consumers() {
    let with = |lines: &str| {
        let text = SMALLEST.replace("queue = \"payments\"", lines);
        problems(&text)
    };
    let both = "exchange = \"orders\"\nrouting_key = \"{activity_type}\"\n";
    for (lines, expected) in [
        (
            "exchange = \"orders\"\nqueue = \"q\"",
            vec!["routes[0].routing_key: is missing"],
        ),
        (
            "routing_key = \"a\"\nqueue = \"q\"",
            vec!["routes[0].exchange: is missing"],
        ),
        (
            &format!("{both}declare = false\ndelivery_limit = 0\nmax_ready = 5"),
            vec![
                "routes[0].declare: is about a queue, and this route names none",
                "routes[0].delivery_limit: is about a queue",
                "routes[0].max_ready: is about a queue",
                "routes[0].poll_without_consumers: must be true",
            ],
        ),
        (
            "exchange = \"\"\nrouting_key = \"{queue}\"\npriority = 256",
            vec![
                "routes[0].exchange = \"\": must be 1 to 255 bytes long",
                "routes[0].routing_key = \"{queue}\": {queue} is not known; the placeholders are {activity_type},",
                "routes[0].priority = 256: must be a whole number from 0 to 255",
                "routes[0].poll_without_consumers: must be true",
            ],
        ),
        (
            "queue = \"q\"\ndeclare = false\ndelivery_limit = 3",
            vec!["routes[0].delivery_limit = 3: is for queues that the bridge declares"],
        ),
        (&format!("{both}queue = \"q\""), vec![]),
        (&format!("{both}poll_without_consumers = true"), vec![]),
    ] {
        let found = with(lines);
        assert_eq!(found.len(), expected.len(), "{lines}: {found:#?}");
        for expected in expected {
            let named = |problem: &String| problem.starts_with(expected);
            assert!(found.iter().any(named), "{expected}: {found:#?}");
        }
    }
}

#[test]
fn a_source_without_names_is_refused() {
    for empty in ["swf = {}", "[routes.swf]"] {
        let text = SMALLEST
            .split("[routes.swf]")
            .next()
            .expect("the first part");
        let found = problems(&format!("{text}{empty}"));
        assert_eq!(
            found,
            [
                "routes[0].swf.domain: is missing",
                "routes[0].swf.task_list: is missing"
            ],
            "{empty}"
        );
    }
}

#[test]
fn a_misspelt_key_is_recognised() {
    let found = problems(&format!("{SMALLEST}[store]\nkidn = \"memory\""));
    assert!(found[0].contains("did you mean \"kind\"?"), "{found:?}");
}

#[test]
fn no_problem_shows_a_password() {
    let uri = "amqp://u:hunter2@h:5672/%2f";
    for text in [
        format!("[amqp]\nuri = \"{uri}\n"),
        format!("[amqp]\nuri = {uri}\n"),
        format!("[amqp]\nuri_file = \"{uri}\"\n"),
        format!("[amqp]\nuris = [\"x{uri}\"]\n"),
        format!("[amqp]\nuris = \"{uri}\"\n"),
        format!("[amqp]\nurl = \"{uri}\"\n"),
        format!("amqp = \"{uri}\"\n"),
        format!("amqp = [\"{uri}\"]\n"),
    ] {
        let error = text.parse::<Config>().expect_err("a mistake").to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(
            error.contains("amqp") || error.contains("line 2"),
            "{error}"
        );
    }
}

#[test]
fn no_value_of_an_unknown_key_is_shown() {
    for value in [
        "12345678",
        "1.2345678",
        "true",
        "1234-05-06",
        "\"12345678\"",
        "[12345678]",
        "{ a = 12345678 }",
    ] {
        for text in [
            format!("[amqp]\npassword = {value}\n"),
            format!("password = {value}\n"),
            format!("[amqp.password]\nuri = {value}\n"),
            format!("[[routes]]\npassword = {value}\n"),
            format!("[[amqp.users]]\npassword = {value}\n"),
        ] {
            let found = problems(&text);
            let of_password = found.iter().filter(|problem| problem.contains("password"));
            assert!(of_password.count() > 0, "{text}: {found:#?}");
            let found = found.join("\n");
            for part in ["12345678", "2345678", "true", "1234-05-06"] {
                assert!(!found.contains(part), "{text}: {found}");
            }
        }
    }
}

#[test]
fn an_empty_file_says_what_is_missing() {
    let found = problems("");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("routes: there is none"), "{found:?}");
}

#[test]
fn swf_names_follow_the_rules_of_swf() {
    let long = "x".repeat(257);
    for bad in [
        "", " a", "a ", "a:b", "a/b", "a|b", "a\u{1f}b", "a\u{7f}b", "arn", &long,
    ] {
        assert!(swf_name_rule(bad).is_err(), "{bad:?}");
    }
    for good in ["a", "arns", "my arn list", &"x".repeat(256), "größe"] {
        assert!(swf_name_rule(good).is_ok(), "{good:?}");
    }
}

#[test]
fn two_routes_may_not_share_a_name() {
    let twice = format!(
        "{SMALLEST}{}",
        &SMALLEST[SMALLEST.find("[[").expect("a route")..]
    );
    assert!(problems(&twice)[0].starts_with("routes[1].name = \"payments\": routes[0] has"));
}

#[test]
fn the_environment_overrides_and_kubernetes_service_variables_do_not() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("bridge.toml", SMALLEST)?;
        jail.set_env("ACTIVITY_BRIDGE_ADMIN__LISTEN", "127.0.0.1:1");
        jail.set_env("ACTIVITY_BRIDGE_SHUTDOWN__GRACE_SECS", "7");
        jail.set_env("ACTIVITY_BRIDGE_PORT", "tcp://10.0.0.1:9464");
        jail.set_env("ACTIVITY_BRIDGE_PORT_9464_TCP_ADDR", "10.0.0.1");
        let config = load(&["bridge.toml"]).expect("valid");
        assert_eq!(config.admin.listen.port(), 1);
        assert_eq!(config.shutdown.grace, Duration::from_secs(7));
        jail.set_env("ACTIVITY_BRIDGE_ADMIN__LISTENS", "x");
        let error = load(&["bridge.toml"]).expect_err("an unknown key");
        assert!(
            error.to_string().contains("did you mean \"listen\"?"),
            "{error}"
        );
        Ok(())
    });
}

#[test]
fn a_variable_is_a_text_where_a_text_is_wanted() {
    let prefix = |text: &str| {
        let mut found = String::new();
        figment::Jail::expect_with(|jail| {
            jail.create_file(
                "bridge.toml",
                &format!("{SMALLEST}[store]\nkind = \"redis\"\n"),
            )?;
            jail.set_env("ACTIVITY_BRIDGE_STORE__URL", "redis://h");
            jail.set_env("ACTIVITY_BRIDGE_STORE__PREFIX", text);
            let config = load(&["bridge.toml"]);
            found = match config.expect("valid").store {
                StoreConfig::Redis(redis) => redis.prefix,
                other => other.place(),
            };
            Ok(())
        });
        found
    };
    for text in ["2024", "-7", "007", "1.50", "1e3", "true", "false", "text"] {
        assert_eq!(prefix(text), text);
    }
    assert_eq!(prefix(" 2024 "), "2024");
    assert_eq!(prefix("\"2024\""), "2024");
}

#[test]
fn a_variable_is_a_number_or_a_flag_where_one_is_wanted_and_a_text_in_the_file_is_none() {
    figment::Jail::expect_with(|jail| {
        jail.create_file(
            "bridge.toml",
            &format!("{SMALLEST}[shutdown]\ngrace_secs = \"7\"\n"),
        )?;
        let error = load(&["bridge.toml"]).expect_err("a text");
        assert!(
            error.to_string().contains("shutdown.grace_secs = \"7\""),
            "{error}"
        );
        jail.set_env("ACTIVITY_BRIDGE_SHUTDOWN__GRACE_SECS", "8");
        jail.set_env("ACTIVITY_BRIDGE_SHUTDOWN__GIVE_BACK", "true");
        let config = load(&["bridge.toml"]).expect("valid");
        assert_eq!(config.shutdown.grace, Duration::from_secs(8));
        assert!(config.shutdown.give_back);
        Ok(())
    });
}

#[test]
fn a_file_with_a_byte_order_mark_or_several_lines_is_no_address_and_its_content_is_not_shown() {
    const URI: &str = "amqp://u:hunter2@127.0.0.1:1/%2f";
    figment::Jail::expect_with(|jail| {
        let text = SMALLEST.replace("uri = \"amqp://127.0.0.1\"", "uri_file = \"uri\"");
        for (content, expected) in [
            (
                format!("\u{feff}{URI}\n"),
                "amqp.uri_file: the file \"uri\" begins with a byte order mark",
            ),
            (
                format!("{URI}\n{URI}\n"),
                "amqp.uri_file: the file \"uri\" has more than one line",
            ),
            (
                format!("{URI}\r{URI}"),
                "amqp.uri_file: the file \"uri\" has more than one line",
            ),
        ] {
            jail.create_file("uri", &content)?;
            let found = problems(&text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with(expected) && !found[0].contains("hunter2"),
                "{found:?}"
            );
        }
        jail.create_file("uri", &format!("\n{URI}\r\n\n"))?;
        assert_eq!(problems(&text), Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn the_uri_may_come_from_a_file() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("uri", "amqp://u:p@127.0.0.1:1/%2f\n")?;
        let text = SMALLEST.replace("uri = \"amqp://127.0.0.1\"", "uri_file = \"uri\"");
        assert_eq!(problems(&text), Vec::<String>::new());
        let text = SMALLEST.replace("uri = \"amqp://127.0.0.1\"", "uri_file = \"none\"");
        assert!(problems(&text)[0].starts_with("amqp.uri_file: the file \"none\" can't be read"));
        Ok(())
    });
}
