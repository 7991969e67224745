//! The bridge as a process.

use super::{TEST_TIMEOUT, eventually, http};
use std::{
    fs::{self, File},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A running bridge. Its log is printed where the test fails. Dropped, it is killed.
pub struct BridgeProcess {
    child: Child,
    /// Still to be read when its folder has gone.
    log: File,
    admin: String,
}

/// What the machine may have in its environment, and would change which way a bridge goes to AWS.
const OF_THE_MACHINE: [&str; 8] = [
    "AWS_CA_BUNDLE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "AWS_PROFILE",
];

/// The binary under test.
pub fn command() -> Command {
    command_by(&[])
}

/// The binary under test, started by these words.
fn command_by(starter: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_activity-bridge");
    let words = [starter, &[binary]].concat();
    let mut command = Command::new(words[0]);
    for name in OF_THE_MACHINE {
        command.env_remove(name);
    }
    command
        .args(&words[1..])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-west-1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl BridgeProcess {
    /// Starts it, and waits until it answers on its admin address.
    pub async fn start(config: &Path, aws: &str, env: &[(&str, &str)]) -> Self {
        Self::spawn(command(), config, aws, env).listens().await
    }

    /// The same by other words than its name, such as those of a shell.
    pub async fn start_by(starter: &[&str], config: &Path, aws: &str) -> Self {
        Self::spawn(command_by(starter), config, aws, &[])
            .listens()
            .await
    }

    async fn listens(mut self) -> Self {
        self.admin = self
            .logged("admin listening addr=")
            .await
            .split_whitespace()
            .last()
            .map(|addr| format!("http://{}", addr.trim_start_matches("addr=")))
            .expect("an address");
        self
    }

    /// The admin address.
    pub fn admin_addr(&self) -> &str {
        self.admin.trim_start_matches("http://")
    }

    fn spawn(mut command: Command, config: &Path, aws: &str, env: &[(&str, &str)]) -> Self {
        let path = config.with_extension("log");
        let file = File::create(&path).expect("the log can be written");
        let log = File::open(&path).expect("the log can be read");
        let child = command
            .args(["run", "--config"])
            .arg(config)
            .env("AWS_ENDPOINT_URL_SWF", aws)
            .env("AWS_ENDPOINT_URL_SFN", aws)
            .envs(env.iter().copied())
            .stderr(file)
            .spawn()
            .expect("the bridge starts");
        Self {
            child,
            log,
            admin: String::new(),
        }
    }

    /// Everything that it has logged, but for a line that it is at.
    pub fn log(&self) -> String {
        self.wait_for_log();
        self.written()
    }

    /// Waits until the thread of the log waits for lines: then it has written every line that there was. A line wakes it at once, but on a
    /// busy machine it may run later than what comes after the line.
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread needs no more than its turn"
    )]
    fn wait_for_log(&self) {
        let until = Instant::now() + TEST_TIMEOUT;
        while !self.is_log_written() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the process has no thread of the log that runs. It has none at its very start and after its end.
    fn is_log_written(&self) -> bool {
        let threads = self.child.id().map(|pid| format!("/proc/{pid}/task"));
        let Some(threads) = threads.and_then(|path| fs::read_dir(path).ok()) else {
            return true;
        };
        // What follows the name is the state. A thread that has ended meanwhile has written all.
        let stats =
            threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        let mut states = stats.filter_map(|stat| {
            stat.split_once(" (log) ")
                .map(|(_, rest)| !rest.starts_with(['R', 'D']))
        });
        states.all(|waits| waits)
    }

    /// What is in the file of the log, but for a line that it is at.
    fn written(&self) -> String {
        let length = self.log.metadata().map_or(0, |log| log.len());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.log.read_exact_at(&mut bytes, 0);
        read.map_or_else(
            |_| String::new(),
            |()| {
                let whole = bytes.iter().rposition(|byte| *byte == b'\n');
                String::from_utf8_lossy(&bytes[..whole.map_or(0, |at| at + 1)]).into_owned()
            },
        )
    }

    /// Waits for a log line with this text, and returns it.
    pub async fn logged(&self, text: &str) -> String {
        eventually(&format!("the log line {text:?}"), || async {
            let log = self.written();
            log.lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
        .await
    }

    /// GET on the admin address: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.answer(path).await;
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a text"))
    }

    /// GET on the admin address: the whole answer.
    pub async fn answer(&self, path: &str) -> reqwest::Response {
        let answer = http().get(format!("{}{path}", self.admin)).send().await;
        answer.expect("the admin endpoint answers")
    }

    /// The readiness of a route, as `/readyz` tells it: ready, and state.
    pub async fn route(&self, name: &str) -> (bool, String) {
        let (_, body) = self.get("/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let routes = body["routes"].as_array().expect("routes");
        let route = routes.iter().find(|route| route["name"] == name);
        let route = route.expect("the route");
        let state = route["state"].as_str().expect("a state").to_owned();
        (route["ready"] == true, state)
    }

    /// Waits until a route's state contains a text.
    pub async fn route_is(&self, name: &str, state: &str) {
        eventually(&format!("route {name} being {state:?}"), || async {
            self.route(name).await.1.contains(state).then_some(())
        })
        .await;
    }

    /// The value of a series of `/metrics`: `polls_total{outcome="task"` is enough of a name where only one begins so.
    pub async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("activity_bridge_{series}")));
        let line = line.unwrap_or_else(|| panic!("no series {series} in\n{text}"));
        let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
        value.expect("a number")
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        eventually("readiness", || async {
            (self.get("/readyz").await.0 == 200).then_some(())
        })
        .await;
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        eventually("nothing in flight", || async {
            (self.metric("tasks_in_flight").await == 0.0).then_some(())
        })
        .await;
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the bridge runs")
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(TEST_TIMEOUT, self.child.wait()).await;
        ended.expect("the bridge ends in time").expect("a status")
    }

    /// SIGKILL, and its end.
    pub async fn kill(&mut self) {
        self.signal("KILL");
        assert_eq!(self.ended().await.signal(), Some(9));
    }

    /// SIGTERM, and its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for BridgeProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the bridge's log\n{}", self.written());
        }
    }
}
