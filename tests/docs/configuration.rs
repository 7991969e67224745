//! Example configurations parse, and the reference lists the keys that there are, with their bounds and defaults.

use crate::{blocks, files, markdown, text_of};
use activity_bridge::config::{Config, ConfigError};
use std::{collections::BTreeSet, fs};

/// Parses a configuration whose `uri_file` and `url_file` need not exist here.
pub(crate) fn parse(text: &str) -> Result<Config, ConfigError> {
    let file = |address: &str| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), address).expect("writable");
        file
    };
    let uri = file("amqp://guest:guest@127.0.0.1:5672/%2f\n");
    let url = file("redis://127.0.0.1:6379/0\n");
    let with_file = |line: &str| match line.trim_start().split_once(" = ") {
        Some(("uri_file", path)) if path.starts_with('"') => format!("uri_file = {:?}", uri.path()),
        Some(("url_file", path)) if path.starts_with('"') => format!("url_file = {:?}", url.path()),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = text.lines().map(with_file).collect();
    lines.join("\n").parse()
}

#[track_caller]
fn assert_parses(what: &str, text: &str) {
    if let Err(error) = parse(text) {
        panic!("{what}: {error}");
    }
}

#[test]
fn every_example_configuration_parses() {
    let examples = files("config", "toml");
    assert!(examples.len() >= 4, "{examples:?}");
    for path in examples {
        assert_parses(&path.display().to_string(), &text_of(&path));
    }
}

#[test]
fn every_whole_configuration_in_the_documents_parses() {
    let mut seen = 0;
    for path in markdown() {
        for block in blocks(&text_of(&path), "toml") {
            if block.contains("[[routes]]") {
                assert_parses(&path.display().to_string(), &block);
                seen += 1;
            }
        }
    }
    assert!(seen > 1, "the README and docs/brokers.md have some");
}

#[test]
fn the_configuration_of_the_first_task_in_the_readme_parses() {
    let commands = blocks(&text_of("README.md"), "sh").concat();
    let (_, rest) = commands
        .split_once("cat > first-task.toml <<END\n")
        .expect("a command that writes it");
    let (written, _) = rest.split_once("\nEND\n").expect("its end");
    assert!(written.contains("[[routes]]"), "{written}");
    assert_parses("first-task.toml", &written.replace("\"$ACTIVITY\"", ARN));
}

const ARN: &str = r#""arn:aws:states:eu-west-1:123456789012:activity:a""#;

/// A key of the reference: a heading of the fourth level, and a list of three items below it.
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) of_type: String,
    pub(crate) default: String,
    example: String,
}

impl Key {
    /// Every key of the reference, in its order.
    pub(crate) fn all() -> Vec<Self> {
        let text = text_of("docs/configuration.md");
        let mut lines = text.lines();
        let mut keys = Vec::new();
        while let Some(line) = lines.next() {
            let Some(heading) = line.strip_prefix("#### ") else {
                continue;
            };
            assert_eq!(lines.next(), Some(""), "below {heading}");
            let mut item = |name: &str| {
                let line = lines.next().unwrap_or_default();
                let item = line.strip_prefix(&format!("- {name}: "));
                let item = item.unwrap_or_else(|| panic!("{heading}: no {name}: {line}"));
                item.to_owned()
            };
            keys.push(Self {
                path: code(heading).expect("code").to_owned(),
                of_type: item("Type"),
                default: item("Default"),
                example: item("Example"),
            });
            assert_eq!(lines.next(), Some(""), "below the items of {heading}");
            let said = lines.next().unwrap_or_default();
            assert!(!said.is_empty(), "{heading}: nothing says what it does");
        }
        assert!(!keys.is_empty(), "no heading is a key");
        keys
    }

    /// Whether this binary knows it.
    fn known(&self) -> bool {
        cfg!(feature = "otlp") || !self.path.starts_with("otlp.")
    }

    /// A configuration with this value.
    fn with(&self, value: &str) -> String {
        let mut lines = beside(&self.path);
        lines.push((&self.path, value));
        configuration(&lines)
    }

    #[track_caller]
    fn assert_accepts(&self, value: &str) {
        assert_parses(&self.path, &self.with(value));
    }

    /// Refuses a value, with a complaint about this key.
    #[track_caller]
    fn assert_refuses(&self, value: &str) {
        match parse(&self.with(value)) {
            Ok(_) => panic!("{} = {value} is accepted", self.path),
            Err(error) => {
                let path = self.path.replace("[]", "[0]");
                assert!(
                    error.to_string().contains(&path),
                    "{path} = {value}: {error}"
                );
            }
        }
    }
}

/// What is in the backticks of a text that is all code.
pub(crate) fn code(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('`')?.strip_suffix('`')?;
    (!inside.contains('`')).then_some(inside)
}

/// Settings that a configuration with this key must have, or that the key means nothing without. JSON is TOML here.
fn beside(key: &str) -> Vec<(&'static str, &'static str)> {
    let required = [
        ("amqp.uri", r#""amqp://127.0.0.1""#),
        ("routes[].name", r#""a""#),
        ("routes[].queue", r#""a""#),
        ("routes[].swf.domain", r#""a""#),
        ("routes[].swf.task_list", r#""a""#),
        ("routes[].step_functions.activity_arn", ARN),
    ];
    let step_functions = key.starts_with("routes[].step_functions.");
    let of_source = |name: &str| match step_functions {
        true => !name.starts_with("routes[].swf."),
        false => !name.starts_with("routes[].step_functions."),
    };
    let rabbitmq = !of_endpoint(key);
    let other_uri = key != "amqp.uri" && key.starts_with("amqp.uri");
    let kept = |name: &&(&str, &str)| {
        name.0 != key && of_source(name.0) && (rabbitmq && !other_uri || name.0 != "amqp.uri")
    };
    let mut lines: Vec<_> = required.iter().filter(kept).copied().collect();
    if key.starts_with("otlp.") && key != "otlp.endpoint" {
        lines.push(("otlp.endpoint", r#""http://127.0.0.1""#));
    }
    match key {
        "amqp.tls.ca_file" => {
            lines.retain(|(name, _)| *name != "amqp.uri");
            lines.push(("amqp.uri", r#""amqps://127.0.0.1""#));
        }
        "store.tls.ca_file" | "store.tls.cert_file" | "store.tls.key_file" => {
            lines.extend([
                ("store.kind", r#""redis""#),
                ("store.url", r#""rediss://a""#),
            ]);
            match key {
                "store.tls.cert_file" => lines.push(("store.tls.key_file", r#""a""#)),
                "store.tls.key_file" => lines.push(("store.tls.cert_file", r#""a""#)),
                _ => {}
            }
        }
        "store.url" | "store.url_file" => lines.push(("store.kind", r#""redis""#)),
        "store.urls" => lines.extend([("store.kind", r#""redis""#), ("store.cluster", "true")]),
        "store.cluster" | "store.prefix" => {
            lines.extend([
                ("store.kind", r#""redis""#),
                ("store.url", r#""redis://a""#),
            ]);
        }
        "amqp.tls.cert_file" => lines.push(("amqp.tls.key_file", r#""a""#)),
        "amqp.tls.key_file" => lines.push(("amqp.tls.cert_file", r#""a""#)),
        "amqp.tls.client_ca_file" => lines.extend([
            ("amqp.tls.cert_file", r#""a""#),
            ("amqp.tls.key_file", r#""a""#),
        ]),
        "amqp.users[].name" => lines.push(("amqp.users[].password_file", r#""a""#)),
        "amqp.users[].certificate_name" => lines.extend([
            ("amqp.tls.cert_file", r#""a""#),
            ("amqp.tls.key_file", r#""a""#),
            ("amqp.tls.client_ca_file", r#""a""#),
            ("amqp.users[].name", r#""a""#),
        ]),
        "amqp.users[].password_file" => lines.push(("amqp.users[].name", r#""a""#)),
        _ if key.starts_with("amqp.users[].") => lines.extend([
            ("amqp.users[].name", r#""a""#),
            ("amqp.users[].password_file", r#""a""#),
        ]),
        "routes[].exchange" => lines.push(("routes[].routing_key", r#""a""#)),
        "routes[].routing_key" => lines.push(("routes[].exchange", r#""a""#)),
        _ => {}
    }
    lines
}

/// The keys beside the address of a RabbitMQ.
const OF_RABBITMQ: [&str; 2] = ["amqp.tls.ca_file", "amqp.token_file"];

/// Whether a key means something only where the bridge is the broker.
fn of_endpoint(key: &str) -> bool {
    let of_rabbitmq = key.starts_with("amqp.uri") || OF_RABBITMQ.contains(&key);
    let of_amqp = key.starts_with("amqp.") && !of_rabbitmq;
    of_amqp || key.starts_with("routes[].ack_")
}

/// The text of a configuration with these settings and one route.
fn configuration(lines: &[(&str, &str)]) -> String {
    let (in_route, at_root): (Vec<_>, Vec<_>) = lines
        .iter()
        .partition(|(key, _)| key.starts_with("routes[]."));
    let (mut text, mut inside) = (String::new(), "");
    for (key, value) in at_root {
        let (table, key) = match key.split_once("[].") {
            Some(parts) => parts,
            None => key.split_once('.').expect("a table"),
        };
        if table != inside {
            text += &match table {
                "amqp.users" => format!("[[{table}]]\n"),
                _ => format!("[{table}]\n"),
            };
            inside = table;
        }
        text += &format!("{key} = {value}\n");
    }
    text += "[[routes]]\n";
    for (key, value) in in_route {
        text += &format!("{} = {value}\n", &key["routes[].".len()..]);
    }
    text
}

#[test]
fn every_documented_key_is_accepted() {
    for key in Key::all() {
        let example = code(&key.example).expect("an example is code");
        if key.known() {
            key.assert_accepts(example);
        } else {
            let error = parse(&key.with(example)).expect_err("this binary has no such feature");
            let error = error.to_string();
            assert!(
                error.starts_with("1 problem") && error.contains("otlp: this binary"),
                "{error}"
            );
        }
    }
}

/// The two numbers of `… 1 to 60,000 …`.
pub(crate) fn bounds(of_type: &str) -> Option<(u64, u64)> {
    let number = |text: &str| text.replace(',', "").parse().ok();
    let (before, after) = of_type.split_once(" to ")?;
    let most = after.split(' ').next()?.trim_end_matches(',');
    Some((number(before.rsplit(' ').next()?)?, number(most)?))
}

#[test]
fn the_documented_types_and_bounds_are_those_of_the_code() {
    for key in Key::all().iter().filter(|key| key.known()) {
        let of_type = key.of_type.as_str();
        if let Some(rest) = of_type.strip_prefix("whole number, ") {
            let (least, most) =
                bounds(of_type).unwrap_or_else(|| panic!("{}: no bounds: {rest}", key.path));
            key.assert_accepts(&least.to_string());
            key.assert_accepts(&most.to_string());
            key.assert_refuses(&(i128::from(least) - 1).to_string());
            key.assert_refuses(&(most + 1).to_string());
            key.assert_refuses("1.5");
        } else if of_type == "true or false" {
            key.assert_accepts("true");
            key.assert_accepts("false");
            key.assert_refuses(r#""true""#);
        } else if of_type.starts_with("list of texts") {
            key.assert_accepts("[]");
            key.assert_refuses("true");
            key.assert_refuses("[true]");
        } else if of_type == "list of at least one text" {
            key.assert_refuses("[]");
            key.assert_refuses("[true]");
        } else if of_type.starts_with("text") {
            key.assert_refuses("true");
            if let Some((least, most)) = bounds(of_type) {
                let text = |length: u64| format!("{:?}", "a".repeat(length as usize));
                key.assert_accepts(&text(least));
                key.assert_accepts(&text(most));
                key.assert_refuses(&text(least - 1));
                key.assert_refuses(&text(most + 1));
            }
        } else {
            let listed: Vec<_> = of_type.split('`').skip(1).step_by(2).collect();
            assert!(
                listed.len() > 1,
                "{}: a type of no known form: {of_type}",
                key.path
            );
            // A store of another kind than the default needs its address, and RabbitMQ tells of no acknowledgement.
            let elsewhere = [
                ("store.kind", "\"redis\""),
                ("routes[].ack", "\"completes\""),
            ];
            let needs_more = |value: &&&str| !elsewhere.contains(&(key.path.as_str(), **value));
            listed
                .iter()
                .filter(needs_more)
                .for_each(|value| key.assert_accepts(value));
            key.assert_refuses(r#""zzz""#);
        }
    }
}

/// How the configuration with these settings is understood, whether a value is written or a default.
fn understood(lines: &[(&str, &str)]) -> String {
    let text = configuration(lines);
    let config = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    format!("{config:?}").replace("_written: true", "_written: false")
}

/// Defaults that go by other settings: the key, what the reference says, and cases of these settings and the default that follows.
type Computed = (
    &'static str,
    &'static str,
    &'static [(&'static [(&'static str, &'static str)], &'static str)],
);
const COMPUTED: &[Computed] = &[
    (
        "shutdown.give_back",
        "`true` with the store `memory`, else `false`",
        &[(&[("store.kind", r#""memory""#)], "true"), (&[], "false")],
    ),
    (
        "routes[].delivery_limit",
        "`20`, or none if `dead_letters = false`",
        &[(&[], "20")],
    ),
    (
        "routes[].max_ready",
        r#"`max_in_flight` with RabbitMQ, else `"auto"`"#,
        &[
            (&[("routes[].max_in_flight", "7")], "7"),
            (&[], "100"),
            (ENDPOINT, r#""auto""#),
        ],
    ),
    (
        "amqp.parked_path",
        "`store.path` with the ending `.parked`; with another store, in memory",
        &[
            (&[], r#""/var/lib/activity-bridge/tasks.parked""#),
            (&[("store.path", r#""a/b.redb""#)], r#""a/b.parked""#),
        ],
    ),
    (
        "routes[].ack",
        r#"`"completes"`, with RabbitMQ `"releases"`"#,
        &[(&[], r#""releases""#), (ENDPOINT, r#""completes""#)],
    ),
    (
        "routes[].ack_result",
        r#"none, on Step Functions `"null"`"#,
        &[(STEP_FUNCTIONS, r#""null""#)],
    ),
    (
        "routes[].pollers.min",
        "`2`, or `max` if that is less",
        &[(&[], "2"), (&[("routes[].pollers.max", "1")], "1")],
    ),
    (
        "routes[].pollers.max",
        "`20`, on Step Functions `100`, or `min` if that is more",
        &[
            (&[], "20"),
            (&[("routes[].pollers.min", "30")], "30"),
            (STEP_FUNCTIONS, "100"),
        ],
    ),
    (
        "routes[].heartbeat.discover",
        "`true` on SWF without `timeout_secs`, else `false`",
        &[
            (&[], "true"),
            (&[("routes[].heartbeat.timeout_secs", "60")], "false"),
            (STEP_FUNCTIONS, "false"),
        ],
    ),
];
/// Without an address of a RabbitMQ.
const ENDPOINT: &[(&str, &str)] = &[("amqp.listen", r#""127.0.0.1:5672""#)];
const STEP_FUNCTIONS: &[(&str, &str)] = &[("routes[].step_functions.activity_arn", ARN)];

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let keys = Key::all();
    for key in keys.iter().filter(|key| key.known()) {
        let lines = beside(&key.path);
        let computed = COMPUTED.iter().find(|(path, ..)| *path == key.path);
        let with_default = |lines: &[(&str, &str)], default: &str| {
            let explicit: Vec<_> = lines
                .iter()
                .copied()
                .chain([(key.path.as_str(), default)])
                .collect();
            assert_eq!(
                understood(lines),
                understood(&explicit),
                "{} = {default} is not the default",
                key.path
            );
        };
        if let Some((_, said, cases)) = computed {
            assert_eq!(&key.default, said, "{}", key.path);
            for (settings, default) in *cases {
                let swf = *settings != STEP_FUNCTIONS;
                let rabbitmq = *settings != ENDPOINT;
                let kept = lines.iter().filter(|(name, _)| {
                    (swf || !name.starts_with("routes[].swf."))
                        && (rabbitmq || !name.starts_with("amqp.uri"))
                });
                let lines: Vec<_> = kept.chain(*settings).copied().collect();
                with_default(&lines, default);
            }
        } else if let Some(default) = code(&key.default) {
            with_default(&lines, default);
        } else if key.default.starts_with("required") {
            let table = key.path.rsplit_once('.').expect("a table").0;
            // Without its only key, a table is not there.
            if table != "otlp" {
                let mut lines = lines;
                if table == "routes[].step_functions" {
                    lines.push(("routes[].step_functions.result_as", r#""json""#));
                }
                let text = configuration(&lines);
                let error = parse(&text).expect_err("it is required").to_string();
                assert!(error.contains(&key.path.replace("[]", "[0]")), "{error}");
            }
        }
    }
    for (path, ..) in COMPUTED {
        assert!(keys.iter().any(|key| key.path == *path), "{path}");
    }
}

/// The keys of one table, as the complaint about an unknown one lists them.
fn known_keys(table: &str) -> Vec<String> {
    let text = match table {
        "" => "zzz = 1".to_owned(),
        "store.tls" => "[store]\nkind = \"redis\"\nurl = \"rediss://a\"\ntls.zzz = 1".to_owned(),
        "routes[]" | "amqp.users[]" => format!("[[{}]]\nzzz = 1", table.trim_end_matches("[]")),
        _ => match table.strip_prefix("routes[].") {
            Some(inner) => format!("[[routes]]\n{inner}.zzz = 1"),
            None => format!("{table}.zzz = 1"),
        },
    };
    let error = parse(&text).expect_err("an unknown key").to_string();
    let (_, list) = error
        .split_once("there is no such setting; the keys here are ")
        .unwrap_or_else(|| panic!("{table}: {error}"));
    let list = list.lines().next().unwrap_or_default();
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_is_documented() {
    let documented: BTreeSet<_> = Key::all().into_iter().map(|key| key.path).collect();
    let mut known = BTreeSet::new();
    let mut tables = vec![String::new()];
    while let Some(table) = tables.pop() {
        for key in known_keys(&table) {
            let path = match table.as_str() {
                "" => key,
                table => format!("{table}.{key}"),
            };
            let is_table = |suffix: &str| {
                let inside = format!("{path}{suffix}.");
                documented.iter().any(|key| key.starts_with(&inside))
            };
            if is_table("") {
                tables.push(path);
            } else if is_table("[]") {
                tables.push(format!("{path}[]"));
            } else {
                known.insert(path);
            }
        }
    }
    assert_eq!(known, documented);
}
