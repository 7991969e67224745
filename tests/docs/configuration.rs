//! Example configurations parse, and the reference lists the keys that there are.

use crate::{blocks, files, markdown, plain, rows, text_of};
use activity_bridge::{
    config::{Config, ConfigError},
    store::StoreConfig,
};
use std::{collections::BTreeSet, fs};

/// Parses a configuration whose `uri_file` and `url_file` need not exist here.
fn parse(text: &str) -> Result<Config, ConfigError> {
    let file = |address: &str| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), address).expect("writable");
        file
    };
    let uri = file("amqp://guest:guest@127.0.0.1:5672/%2f\n");
    let url = file("redis://127.0.0.1:6379/0\n");
    let with_file = |line: &str| match line.trim_start().split_once(" = ") {
        Some(("uri_file", _)) => format!("uri_file = {:?}", uri.path()),
        Some(("url_file", _)) => format!("url_file = {:?}", url.path()),
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
            if block.contains("[[routes]]") && block.contains("[amqp]") {
                assert_parses(&path.display().to_string(), &block);
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "the README has one");
}

/// Each Kubernetes manifest, and the configuration in it.
fn manifests() -> Vec<(String, Config)> {
    let manifest = |path: std::path::PathBuf| {
        let manifest = text_of(&path);
        let (_, rest) = manifest
            .split_once("config.toml: |\n")
            .expect("a ConfigMap");
        let inside = |line: &&str| line.is_empty() || line.starts_with("    ");
        let lines: Vec<_> = rest.lines().take_while(inside).collect();
        let config =
            parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (manifest, config)
    };
    let found: Vec<_> = files("deploy", "yaml").into_iter().map(manifest).collect();
    assert!(
        found.len() >= 2,
        "one for a sidecar, one for the bridge alone"
    );
    found
}

#[test]
fn the_pods_of_the_kubernetes_manifests_outlive_the_grace_period() {
    for (manifest, config) in manifests() {
        let (_, rest) = manifest
            .split_once("terminationGracePeriodSeconds: ")
            .expect("a grace period");
        let pods: u64 = rest.lines().next().expect("a line").parse().expect("secs");
        let grace = config.shutdown_grace.as_secs();
        assert!(grace > 60, "AWS holds a poll for 60 s");
        assert!(pods > grace);
    }
}

#[test]
fn the_pods_of_the_kubernetes_manifests_have_a_volume_for_the_file() {
    for (manifest, config) in manifests() {
        let StoreConfig::File(file) = &config.store else {
            panic!("another store: {}", config.store);
        };
        let folder = file.path.parent().expect("a folder").display();
        assert!(manifest.contains(&format!("mountPath: {folder}\n")));
        // Who can go on with the file of a pod that is gone?
        let goes_with_the_pod = manifest.contains("emptyDir:");
        assert_eq!(config.shutdown_give_back, goes_with_the_pod);
    }
}

const ARN: &str = r#""arn:aws:states:eu-west-1:123456789012:activity:a""#;

/// A configuration in which a documented key has its documented example. JSON is TOML here.
fn with_key(key: &str, example: &str) -> String {
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
    let other_uri = key != "amqp.uri" && key.starts_with("amqp.uri");
    let kept = |name: &&(&str, &str)| {
        name.0 != key && of_source(name.0) && !(other_uri && name.0 == "amqp.uri")
    };
    let mut lines: Vec<_> = required.iter().filter(kept).copied().collect();
    if key.starts_with("otlp.") && key != "otlp.endpoint" {
        lines.push(("otlp.endpoint", r#""http://127.0.0.1""#));
    }
    match key {
        "store.url" | "store.url_file" => lines.push(("store.kind", r#""redis""#)),
        "store.urls" => lines.extend([("store.kind", r#""redis""#), ("store.cluster", "true")]),
        "store.cluster" | "store.prefix" => {
            lines.extend([
                ("store.kind", r#""redis""#),
                ("store.url", r#""redis://a""#),
            ]);
        }
        "routes[].exchange" => lines.push(("routes[].routing_key", r#""a""#)),
        "routes[].routing_key" => lines.push(("routes[].exchange", r#""a""#)),
        _ => {}
    }
    lines.push((key, example));
    let (in_route, at_root): (Vec<_>, Vec<_>) = lines
        .iter()
        .partition(|(key, _)| key.starts_with("routes[]."));
    let (mut text, mut inside) = (String::new(), "");
    for (key, value) in at_root {
        let (table, key) = key.split_once('.').expect("a table");
        if table != inside {
            text += &format!("[{table}]\n");
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
    for row in rows(&text_of("docs/configuration.md"), "Key") {
        let (key, example) = (plain(&row[0]), plain(&row[3]));
        let text = with_key(key, example);
        if key.starts_with("otlp.") && !cfg!(feature = "otlp") {
            let error = parse(&text).expect_err("this binary has no such feature");
            let error = error.to_string();
            assert!(
                error.starts_with("1 problem") && error.contains("otlp: this binary"),
                "{error}"
            );
        } else {
            assert_parses(key, &text);
        }
    }
}

/// The keys of one table, as the complaint about an unknown one lists them.
fn known_keys(table: &str) -> Vec<String> {
    let text = match table {
        "" => "zzz = 1".to_owned(),
        "routes[]" => "[[routes]]\nzzz = 1".to_owned(),
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
    let rows = rows(&text_of("docs/configuration.md"), "Key");
    let documented: BTreeSet<_> = rows.iter().map(|row| plain(&row[0]).to_owned()).collect();
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
