//! The command line: what it says, and with which code it ends.

mod checking;
mod config;
mod health;
mod online;
pub mod release;
mod tasks;
mod top;

use crate::harness::{
    Answer, Route, StepFunctions, Swf, TEST_TIMEOUT, World, command, eventually, put,
};
use serde_json::json;
use std::path::Path;
use tokio::{net::TcpListener, process::Command, time::timeout};

/// How a command ended, and what it said.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The row of the table of `check --online` that is about this.
    fn row(&self, what: &str) -> &str {
        let mut rows = self
            .out
            .lines()
            .filter(|row| row.get(6..).is_some_and(|row| row.starts_with(what)));
        let (row, more) = (rows.next(), rows.next());
        assert!(
            more.is_none(),
            "several rows about {what:?} in\n{}",
            self.out
        );
        row.unwrap_or_else(|| panic!("no row about {what:?} in\n{}", self.out))
    }

    /// Asserts that a row has a mark, and words.
    fn assert_row(&self, what: &str, mark: &str, words: &str) {
        let row = self.row(what);
        assert!(
            row.starts_with(mark) && row.contains(words),
            "expected {mark} … {words}: {row}"
        );
    }
}

pub async fn ended(mut command: Command) -> Ended {
    let output = timeout(TEST_TIMEOUT, command.output()).await;
    let output = output.expect("it ends in time").expect("it runs");
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn check(config: &Path) -> Command {
    let mut command = command();
    command.args(["check", "--config"]).arg(config);
    command
}

/// Where nobody listens: a port that is never handed out.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_good_configuration_is_checked_without_reaching_anything() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("good.toml");
    let text = format!(
        "[amqp]\nuri = \"amqp://guest:guest@{NOBODY}\"\n[[routes]]\nname = \"payments\"\nqueue = \"payments\"\n\
         [routes.swf]\ndomain = \"shop\"\ntask_list = \"payments\"\n"
    );
    std::fs::write(&config, text).expect("written");
    let ended = ended(check(&config)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    ended.assert_row("configuration", "ok", "valid, routes: 1");
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
}

#[tokio::test]
async fn without_an_address_of_a_broker_check_says_that_the_bridge_is_one_and_which_file_is_missing()
 {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("endpoint.toml");
    let text = "[[amqp.users]]\nname = \"u\"\npassword_file = \"none\"\n[[routes]]\nname = \"payments\"\n\
                queue = \"payments\"\nswf = { domain = \"shop\", task_list = \"payments\" }\n";
    std::fs::write(&config, text).expect("written");
    let ended = ended(check(&config)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let broker = "broker endpoint 127.0.0.1:5672";
    ended.assert_row(broker, "ok", "amqp.uri is not set");
    let missing = "the file \"none\" can't be read";
    ended.assert_row("amqp.users[0].password_file", "FAIL", missing);
}

#[tokio::test]
async fn a_heartbeat_timeout_that_nobody_knows_is_said_by_check_and_by_run() {
    let world = World::new().await.of(StepFunctions);
    let routes = [
        Route::new("not-told"),
        Route::new("told").with("heartbeat = { timeout_secs = 60 }"),
        Route::new("worker").with("heartbeat = { by = 'worker' }"),
        Route::new("asked").of(Swf),
        Route::new("not-asked")
            .of(Swf)
            .with("heartbeat = { discover = false }"),
    ];
    let words = "heartbeat.timeout_secs is not set";
    let unknown = ["not-told", "not-asked"];

    let checked = ended(check(&world.write_config("", &routes))).await;
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    for name in unknown {
        checked.assert_row(&format!("route {name}"), "note", words);
    }
    assert_eq!(checked.out.matches(words).count(), 2, "{}", checked.out);

    let bridge = world.bridge(&routes).await;
    for name in unknown {
        let said = bridge.logged(&format!("{words}: a task")).await;
        assert!(said.contains(" WARN "), "{said}");
        bridge
            .logged(&format!(
                "every 20 s, and times out if its heartbeat timeout is shorter route=\"{name}\""
            ))
            .await;
    }
    assert_eq!(bridge.log().matches(words).count(), 2);
}

#[tokio::test]
async fn a_bad_configuration_ends_with_78_and_all_its_problems() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("bad.toml");
    let text = "[amqp]\nuri = \"http://me:hunter2@host\"\n[shutdown]\ngrace_sec = 5\n[[routes]]\nname = \"a b\"\n\
                queue = \"payments\"\nmax_in_flight = 0\n[routes.swf]\ndomain = \"a/b\"\n";
    std::fs::write(&config, text).expect("written");
    for verb in ["check", "run", "tasks", "health"] {
        let mut command = command();
        command.args([verb, "--config"]).arg(&config);
        let ended = ended(command).await;
        assert_eq!(ended.code, Some(78), "{verb}: {}", ended.err);
        for problem in [
            "6 problems in the configuration",
            "amqp.uri: must begin with amqp://",
            "shutdown.grace_sec: there is no such setting; did you mean \"grace_secs\"?",
            "routes[0].name = \"a b\": must be",
            "routes[0].max_in_flight = 0: must be",
            "routes[0].swf.domain = \"a/b\": must not contain '/'",
            "routes[0].swf.task_list: is missing",
        ] {
            assert!(
                ended.err.contains(problem),
                "{verb}: no {problem:?} in {}",
                ended.err
            );
        }
        assert!(
            !ended.err.contains("hunter2"),
            "{verb}: a password in {}",
            ended.err
        );
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_ends_with_78_and_the_file_s_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let not_toml = dir.path().join("not.toml");
    std::fs::write(&not_toml, "[amqp\nuri = hunter2").expect("written");
    let absent = dir.path().join("absent.toml");
    for (path, why) in [(&absent, "No such file"), (&not_toml, "not.toml")] {
        let ended = ended(check(path)).await;
        assert_eq!(ended.code, Some(78), "{}", ended.err);
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(
            ended.err.contains(&*name) && ended.err.contains(why),
            "{}",
            ended.err
        );
        assert_eq!(ended.out, "");
    }
}

#[tokio::test]
async fn all_commands_read_several_files_and_folders_and_variables_in_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let base = dir.path().join("base.toml");
    let parts = dir.path().join("parts");
    std::fs::create_dir(&parts).expect("a folder");
    let shared = "[store]\nkind = \"memory\"\n[admin]\nlisten = \"127.0.0.1:${ADMIN_PORT}\"\n";
    std::fs::write(&base, shared).expect("written");
    let route = "[[routes]]\nname = \"payments\"\nqueue = \"payments.${HOSTNAME}\"\n\
                 swf = { domain = \"shop\", task_list = \"payments\" }\n";
    std::fs::write(parts.join("payments.toml"), route).expect("written");
    let with = |verb: &str| {
        let mut command = command();
        command.arg(verb);
        command
            .arg("--config")
            .arg(&base)
            .arg("--config")
            .arg(&parts);
        command.env("ADMIN_PORT", "1").env_remove("HOSTNAME");
        command
    };
    for verb in ["check", "run", "tasks", "health"] {
        let ended = ended(with(verb)).await;
        assert_eq!(ended.code, Some(78), "{verb}: {}", ended.err);
        let part = parts.join("payments.toml").display().to_string();
        let problem = format!("  {part}: routes[0].queue: the variable HOSTNAME is not set");
        assert!(ended.err.contains(&problem), "{verb}: {}", ended.err);
        assert!(ended.err.contains("1 problem"), "{verb}: {}", ended.err);
    }
    let mut good = with("check");
    good.env("HOSTNAME", "web-0");
    let good = ended(good).await;
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    good.assert_row("configuration", "ok", "valid, routes: 1");
}

#[tokio::test]
async fn without_a_configuration_on_the_command_line_the_default_one_is_read() {
    let default = "/etc/activity-bridge/config.toml";
    for verb in ["check", "tasks"] {
        let mut without = command();
        without.arg(verb);
        let mut named = command();
        named.args([verb, "--config", default]);
        let (without, named) = (ended(without).await, ended(named).await);
        // Where a machine has the file, what becomes of it is its own affair.
        assert_eq!((without.code, without.err), (named.code, named.err));
        if !Path::new(default).exists() {
            let mut run = command();
            run.arg("run");
            let run = ended(run).await;
            let expected = format!("activity-bridge: {default}: No such file");
            assert_eq!(run.code, Some(78), "{}", run.err);
            assert!(run.err.starts_with(&expected), "{}", run.err);
        }
    }
}

#[tokio::test]
async fn the_help_names_all_commands_and_the_version_is_told() {
    let mut help = command();
    help.arg("--help");
    let help = ended(help).await;
    assert_eq!(help.code, Some(0));
    for name in [
        "run",
        "check",
        "health",
        "tasks",
        "release",
        "fail",
        "parked",
        "pause",
        "drain",
        "resume",
        "--help",
        "--version",
    ] {
        assert!(help.out.contains(name), "no {name} in {}", help.out);
    }
    let mut version = command();
    version.arg("--version");
    let version = ended(version).await;
    assert_eq!(
        version.out.trim(),
        format!("activity-bridge {}", env!("CARGO_PKG_VERSION"))
    );
    let nothing = ended(command()).await;
    assert!(
        nothing.code != Some(0) && nothing.err.contains("Usage"),
        "{}",
        nothing.err
    );
}

/// A broker user of this test's own, with a password that is nothing else.
async fn user_of(world: &World, password: &str) -> String {
    let api = std::env::var("RABBITMQ_API").expect("the tests' broker");
    let vhost = world.vhost();
    let user = format!("user-{vhost}");
    put(
        &format!("{api}/api/users/{user}"),
        &json!({"password": password, "tags": ""}),
    )
    .await;
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    put(
        &format!("{api}/api/permissions/{vhost}/{user}"),
        &everything,
    )
    .await;
    user
}

const PASSWORD: &str = "correct-horse-battery";
const AWS_SECRET: &str = "staple-of-an-aws-secret";

/// At the level `debug`, while the broker refuses, comes, and carries tasks.
#[tokio::test]
async fn no_secret_is_in_the_log_of_a_running_bridge() {
    let world = World::new().await;
    let user = user_of(&world, PASSWORD).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let good = world
        .amqp_uri
        .replace("guest:guest", &format!("{user}:{PASSWORD}"));
    let wrong = good.replace(PASSWORD, "wrong-horse-battery");
    let config = world.write_config("", &[Route::new("payments")]);
    let text = std::fs::read_to_string(&config).expect("readable");
    let one = format!("uri = \"{}\"", world.amqp_uri);
    let text = text.replace(&one, &format!("uris = [\"{wrong}\", \"{good}\"]"));
    std::fs::write(&config, format!("{text}\n")).expect("written");
    let log = world.dir().join("bridge.log");
    let mut bridge = command();
    bridge
        .args(["run", "--config"])
        .arg(&config)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url());
    bridge.env("AWS_SECRET_ACCESS_KEY", AWS_SECRET);
    bridge.stderr(std::fs::File::create(&log).expect("writable"));
    let _bridge = bridge.spawn().expect("it starts");
    world.schedule("payments", 5);
    world.until("all completed", |s| s.completed == 5).await;
    // AWS has the outcome a moment before the bridge has its answer.
    let log = eventually("the line of a task that was settled", || async {
        let log = std::fs::read_to_string(&log).expect("a log");
        log.contains("DEBUG settled").then_some(log)
    })
    .await;
    assert!(log.contains("no connection to the broker"), "{log}");
    for secret in ["horse-battery", AWS_SECRET] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn a_run_whose_admin_address_is_taken_ends_with_1_and_says_so() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = taken.local_addr().expect("an address").to_string();
    let mut command = command();
    command
        .args(["run", "--config"])
        .arg(world.write_config("", &[Route::new("payments")]));
    command
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("ACTIVITY_BRIDGE_ADMIN__LISTEN", &addr);
    let ended = ended(command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let last = ended.err.lines().last().unwrap_or_default();
    let expected = format!("activity-bridge: admin.listen = \"{addr}\" can't be bound: Address");
    assert!(last.starts_with(&expected), "{last}");
}
