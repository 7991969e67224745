#![allow(
    clippy::result_large_err,
    reason = "the error type of the closures that figment::Jail takes is figment's"
)]

use super::*;
use crate::config::Config;
use figment::Jail;
use std::path::PathBuf;

/// The settings of these files, which have no problem.
#[track_caller]
fn explained(paths: &[&str]) -> (Config, Vec<Setting>) {
    let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
    Config::explained(&paths).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn assert_line(text: &str, setting: &str, comment: &str) {
    let found = text.lines().any(|line| {
        let parts = line.rsplit_once("  # ");
        parts.is_some_and(|(left, right)| (left.trim_end(), right) == (setting, comment))
    });
    assert!(found, "no {setting:?} with {comment:?} in\n{text}");
}

const BASE: &str = "[store]\npath = \"tasks.redb\"\n\n[[routes]]\nname = \"a\"\nqueue = \"a.${POD}\"\n\
                    ack_result = 'a \"${POD}\" $${x}\\'\nswf = { domain = \"d\", task_list = \"t\" }\n";
const MORE: &str = "[shutdown]\ngrace_secs = 80\n[[routes]]\nname = \"b\"\nqueue = \"b\"\nmax_in_flight = 7\npollers.max = 3\n\
                    [routes.step_functions]\nactivity_arn = \"arn:aws:states:eu-west-1:123456789012:activity:b\"\n\
                    [[amqp.users]]\nname = \"u\"\npassword_file = \"base.toml\"\nroutes = [\"a\"]\n";

#[test]
fn each_value_is_printed_with_its_file_and_line_or_variable_or_as_a_default() {
    Jail::expect_with(|jail| {
        jail.create_file("base.toml", BASE)?;
        jail.create_file("more.toml", MORE)?;
        jail.set_env("POD", "pod-1");
        jail.set_env("ACTIVITY_BRIDGE_LOG__LEVEL", "DEBUG");
        jail.set_env("ACTIVITY_BRIDGE_AMQP__MAX_CHANNELS", "7");
        let text = as_toml(&explained(&["base.toml", "more.toml"]).1);
        for (setting, comment) in [
            ("path = \"tasks.redb\"", "base.toml:2"),
            ("queue = \"a.pod-1\"", "base.toml:6, ${POD}"),
            ("domain = \"d\"", "base.toml:8"),
            ("task_list = \"t\"", "base.toml:8"),
            ("grace_secs = 80", "more.toml:2"),
            ("name = \"b\"", "more.toml:4"),
            ("max_in_flight = 7", "more.toml:6"),
            ("max = 3", "more.toml:7"),
            ("routes = [\"a\"]", "more.toml:13"),
            ("level = \"debug\"", "ACTIVITY_BRIDGE_LOG__LEVEL"),
            ("max_channels = 7", "ACTIVITY_BRIDGE_AMQP__MAX_CHANNELS"),
            ("# kind = \"file\"", "default"),
            ("# give_back = false", "default"),
            ("# parked_path = \"tasks.parked\"", "default"),
            ("# min = 2", "default"),
            ("# ack_result = \"null\"", "default"),
            ("# max_ready = \"auto\"", "default"),
            ("# discover = true", "default"),
        ] {
            assert_line(&text, setting, comment);
        }
        assert!(text.contains("# priority is not set\n"), "{text}");
        Ok(())
    });
}

#[test]
fn what_is_printed_is_read_as_the_same_configuration() {
    Jail::expect_with(|jail| {
        jail.create_file("base.toml", BASE)?;
        jail.create_file("more.toml", MORE)?;
        jail.set_env("POD", "pod-1");
        let (config, settings) = explained(&["base.toml", "more.toml"]);
        let text = as_toml(&settings);
        jail.create_file("printed.toml", &text)?;
        let (again, printed) = explained(&["printed.toml"]);
        assert_eq!(format!("{config:?}"), format!("{again:?}"), "{text}");
        let values = |settings: &[Setting]| -> Vec<_> {
            let value = |setting: &Setting| (setting.path.clone(), setting.value.clone());
            settings.iter().map(value).collect()
        };
        assert_eq!(values(&settings), values(&printed));
        Ok(())
    });
}

#[test]
fn no_password_is_printed_and_what_is_printed_in_its_place_can_be_read() {
    Jail::expect_with(|jail| {
        let text = "amqp.uris = [\"amqp://me:hunter2@b\", \"amqp://me:${SECRET}@c:1/%2f?heartbeat=5\"]\n\
                    [store]\nkind = \"redis\"\nurl = \"rediss://:hunter2@h/1\"\n\
                    tls = { cert_file = \"hunter2\", key_file = \"secret.toml\" }\n\
                    [[routes]]\nname = \"a\"\nqueue = \"a\"\nswf = { domain = \"d\", task_list = \"t\" }\n";
        jail.create_file("secret.toml", text)?;
        jail.set_env("SECRET", "hunter2");
        let settings = explained(&["secret.toml"]).1;
        let (toml, json) = (as_toml(&settings), as_json(&settings).to_string());
        assert!(
            !toml.contains("hunter2") && !json.contains("hunter2"),
            "{toml}"
        );
        for (setting, comment) in [
            (
                "uris = [\"amqp://me:***@b\",\"amqp://me:***@c:1/%2f?heartbeat=5\"]",
                "secret.toml:1, ${SECRET}",
            ),
            ("url = \"rediss://:***@h/1\"", "secret.toml:4"),
            ("cert_file = \"***\"", "secret.toml:5"),
            ("key_file = \"secret.toml\"", "secret.toml:5"),
        ] {
            assert_line(&toml, setting, comment);
        }
        jail.create_file("printed.toml", &toml)?;
        explained(&["printed.toml"]);
        Ok(())
    });
}

#[test]
fn in_json_each_setting_has_its_source() {
    Jail::expect_with(|jail| {
        jail.create_file("base.toml", BASE)?;
        jail.set_env("POD", "pod-1");
        jail.set_env(
            "ACTIVITY_BRIDGE_AMQP__TLS",
            "{cert_file=\"c\",key_file=\"base.toml\"}",
        );
        jail.set_env("ACTIVITY_BRIDGE_AMQP__TLS__CLIENT_CA_FILE", "base.toml");
        let json = as_json(&explained(&["base.toml"]).1);
        let all = json["settings"].as_array().expect("a list");
        let of = |key: &str| all.iter().find(|setting| setting["key"] == key);
        for (key, expected) in [
            (
                "routes[0].queue",
                json!({ "value": "a.pod-1", "source": "file", "file": "base.toml", "line": 6, "variables": ["POD"] }),
            ),
            (
                "amqp.tls.cert_file",
                json!({ "value": "***", "source": "environment", "variable": "ACTIVITY_BRIDGE_AMQP__TLS", "redacted": true }),
            ),
            (
                "amqp.tls.key_file",
                json!({ "value": "base.toml", "source": "environment", "variable": "ACTIVITY_BRIDGE_AMQP__TLS" }),
            ),
            (
                "amqp.tls.client_ca_file",
                json!({ "value": "base.toml", "source": "environment", "variable": "ACTIVITY_BRIDGE_AMQP__TLS__CLIENT_CA_FILE" }),
            ),
            (
                "shutdown.grace_secs",
                json!({ "value": 90, "source": "default" }),
            ),
            ("aws.region", json!({ "value": null, "source": "unset" })),
        ] {
            let mut expected = expected;
            expected["key"] = key.into();
            assert_eq!(of(key), Some(&expected), "{key}");
        }
        Ok(())
    });
}
