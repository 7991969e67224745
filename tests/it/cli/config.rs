//! The command `config`: the effective settings, and the schema.

use super::{Ended, ended};
use crate::harness::command;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Writes a configuration into a folder.
fn written(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("bridge.toml");
    std::fs::write(&path, text).expect("written");
    path
}

async fn config(words: &[&str], path: &Path) -> Ended {
    let mut command = command();
    command.arg("config").args(words).arg("--config").arg(path);
    command.env("ACTIVITY_BRIDGE_SHUTDOWN__GRACE_SECS", "120");
    ended(command).await
}

const ROUTE: &str =
    "[[routes]]\nname = \"a\"\nqueue = \"a\"\nswf = { domain = \"d\", task_list = \"t\" }\n";

#[tokio::test]
async fn config_print_tells_where_values_come_from_and_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("[amqp]\nuri = \"amqp://me:hunter2@b\"\n{ROUTE}");
    let path = written(folder.path(), &text);
    let place = path.display();

    let printed = config(&["print"], &path).await;
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    let has = |setting: &str, comment: &str| {
        let is_it = |line: &str| line.starts_with(setting) && line.ends_with(comment);
        assert!(
            printed.out.lines().any(is_it),
            "no {setting}: {}",
            printed.out
        );
    };
    has("uri = \"amqp://me:***@b\" ", &format!("  # {place}:2"));
    has("name = \"a\" ", &format!("  # {place}:4"));
    has(
        "grace_secs = 120 ",
        "  # ACTIVITY_BRIDGE_SHUTDOWN__GRACE_SECS",
    );
    has("# max_in_flight = 100 ", "  # default");
    assert!(!printed.out.contains("hunter2"), "{}", printed.out);

    let json = config(&["print", "--json"], &path).await;
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let settings = json["settings"].as_array().expect("a list");
    let uri = settings.iter().find(|setting| setting["key"] == "amqp.uri");
    assert_eq!(uri.expect("there")["redacted"], true);

    let again = config(&["print"], &written(folder.path(), &printed.out)).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
}

#[tokio::test]
async fn config_print_of_a_bad_configuration_ends_with_78_and_shows_no_unknown_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(
        folder.path(),
        &format!("[amqp]\npassword = \"hunter2\"\n{ROUTE}"),
    );
    let refused = config(&["print"], &path).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(78), ""));
    assert!(
        refused
            .err
            .contains("amqp.password: there is no such setting"),
        "{}",
        refused.err
    );
    assert!(!refused.err.contains("hunter2"), "{}", refused.err);
}

/// tests/docs compares it with the file.
#[tokio::test]
async fn config_schema_needs_no_configuration() {
    let mut command = command();
    command.args(["config", "schema"]);
    let printed = ended(command).await;
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_str(&printed.out).expect("JSON");
    assert_eq!(schema["properties"]["routes"]["type"], "array");
}
