//! What a person and a log reader see of a start that fails, however early it fails. It is the one question here that needs the
//! program itself.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

/// Starts the program by a shell that takes everything away from it but three descriptors and one more.
const WITHOUT_DESCRIPTORS: &str = r#"
for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done
ulimit -n 4
exec "$0" "$@""#;

/// Starts it by a shell that changes nothing.
const AS_USUAL: &str = r#"exec "$0" "$@""#;

/// Runs the bridge with this format of the log, by a shell with these words.
fn run(format: &str, listen: &str, shell: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    let text = format!(
        r#"
        [log]
        format = "{format}"
        [admin]
        listen = "{listen}"
        [store]
        kind = "memory"
        [[routes]]
        name = "payments"
        queue = "payments"
        swf = {{ domain = "shop", task_list = "payments" }}
        "#
    );
    std::fs::write(&config, text).expect("written");
    let mut command = Command::new("sh");
    command.args(["-c", shell, env!("CARGO_BIN_EXE_activity-bridge"), "run"]);
    command.arg("--config").arg(&config);
    command.output().expect("a shell")
}

#[test]
fn a_start_that_fails_says_why_on_standard_error_in_the_format_of_the_log() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    for (shell, listen, why) in [
        (WITHOUT_DESCRIPTORS, "127.0.0.1:0", "Too many open files"),
        (AS_USUAL, taken.as_str(), "in use"),
    ] {
        for format in ["text", "json"] {
            let ended = run(format, listen, shell);
            let said = String::from_utf8(ended.stderr).expect("UTF-8");
            assert_eq!(ended.status.code(), Some(1), "{format}: {said:?}");
            let last = said.lines().last().unwrap_or_default();
            let words = match format {
                "json" => {
                    let line: serde_json::Value = serde_json::from_str(last).expect("JSON");
                    assert_eq!(line["level"], "ERROR", "{line}");
                    let message = line["message"].as_str().expect("a text").to_owned();
                    assert!(
                        message.starts_with("activity-bridge could not start: "),
                        "{message}"
                    );
                    message
                }
                _ => {
                    assert!(last.starts_with("activity-bridge: "), "{said:?}");
                    last.to_owned()
                }
            };
            assert!(words.contains(why), "{words}");
        }
    }
}
