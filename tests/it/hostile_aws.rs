//! A server in AWS's place that answers what AWS never would.

use crate::harness::{BridgeProcess, Route, World, eventually};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Maximum growth of the bridge's memory, in MiB. The body that a server offers is far larger.
const MAX_GROWTH: u64 = 40;

/// What a server answers to polls.
#[derive(Clone)]
enum Polls {
    /// A body that goes on and on, up to 256 MiB.
    Endless,
    /// This status and body.
    Answer(u16, String),
}

/// A server of SWF's calls.
struct Server {
    url: String,
    /// The bodies of all calls of RespondActivityTaskFailed.
    failed: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl Server {
    async fn start(polls: Polls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let failed = Arc::<Mutex<Vec<String>>>::default();
        let mut accepting = JoinSet::new();
        let seen = Arc::clone(&failed);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (polls, seen) = (polls.clone(), Arc::clone(&seen));
                connections.spawn(async move {
                    // The bridge may close the connection.
                    drop(serve(stream, &polls, &seen).await);
                });
            }
        });
        Self {
            url,
            failed,
            _accepting: accepting,
        }
    }

    fn failed(&self) -> Vec<String> {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A bridge with this server in AWS's place, and its memory in MiB when it has begun.
    async fn bridge(&self, world: &World) -> (BridgeProcess, u64) {
        let settings = "poll_without_consumers = true\npollers = { min = 1, max = 1 }\nheartbeat = { discover = false }";
        let route = Route::new("payments").with(settings);
        let config = world.write_config("", &[route]);
        let bridge = BridgeProcess::start(&config, &self.url, &[]).await;
        let before = memory(&bridge, "VmRSS");
        (bridge, before)
    }
}

/// Serves the calls of one connection.
async fn serve(stream: TcpStream, polls: &Polls, failed: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                match line.trim_end().is_empty() {
                    true => break,
                    false => continue,
                }
            };
            match name.to_ascii_lowercase().as_str() {
                "x-amz-target" => target = value.to_owned(),
                "content-length" => length = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (status, answer) = match (target.rsplit('.').next(), polls) {
            (Some("PollForActivityTask"), Polls::Endless) => return endless(stream).await,
            (Some("PollForActivityTask"), Polls::Answer(status, answer)) => (*status, &**answer),
            (Some("RespondActivityTaskFailed"), _) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push(body);
                (200, "{}")
            }
            _ => (200, "{}"),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// Sends 256 MiB of a body that has no end.
async fn endless(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    let head = "HTTP/1.1 200 X\r\ncontent-type: application/x-amz-json-1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    stream.write_all(b"11\r\n{\"taskToken\": \"aa\r\n").await?;
    for _ in 0..4_096 {
        stream.write_all(chunk.as_bytes()).await?;
    }
    std::future::pending().await
}

/// A line of the memory of the bridge, in MiB.
fn memory(bridge: &BridgeProcess, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid()));
    let status = status.expect("the bridge runs");
    let line = status.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

/// The answer to a poll: a task with this token and this input.
fn task(token: &str, input: &str) -> Polls {
    named_task("1", token, input)
}

/// The answer to a poll: a task with this id at AWS.
fn named_task(activity_id: &str, token: &str, input: &str) -> Polls {
    let body = serde_json::json!({
        "taskToken": token,
        "activityId": activity_id,
        "startedEventId": 1,
        "workflowExecution": { "workflowId": "w", "runId": "r" },
        "activityType": { "name": "charge", "version": "1" },
        "input": input,
    });
    Polls::Answer(200, body.to_string())
}

/// A server, and the bridge that polls it.
struct Refused {
    server: Server,
    /// The line of the bridge's log.
    line: String,
    _bridge: BridgeProcess,
    _world: World,
}

/// Waits for a line of the log, and asserts that the memory of the bridge did not grow with the answer.
async fn is_refused(polls: Polls, said: &str) -> Refused {
    let world = World::new().await;
    let server = Server::start(polls).await;
    let (bridge, before) = server.bridge(&world).await;
    let line = bridge.logged(said).await;
    let most = memory(&bridge, "VmHWM");
    assert!(
        most <= before + MAX_GROWTH,
        "{most} MiB, and {before} MiB before"
    );
    assert_eq!(bridge.get("/livez").await.0, 200);
    Refused {
        server,
        line,
        _bridge: bridge,
        _world: world,
    }
}

#[tokio::test]
async fn an_endless_body_of_a_poll_is_read_no_further_than_four_mib() {
    is_refused(Polls::Endless, "the answer has more than 4 MiB").await;
}

#[tokio::test]
async fn an_input_beyond_the_services_limit_is_failed_back_with_a_reason() {
    let input = "x".repeat(1_000_000);
    let polls = task("token", &input);
    let Refused { server, line, .. } = &is_refused(polls, "failing it back to AWS").await;
    let reason = "its input has 1000000 bytes, and SWF's inputs have at most 32768 characters";
    assert!(line.contains(reason), "{line}");
    let failed = eventually("the failure", || async { server.failed().pop() }).await;
    assert!(failed.contains(reason), "{failed}");
}

#[tokio::test]
async fn a_task_whose_headers_would_be_beyond_the_services_limit_is_failed_back_with_a_reason() {
    let polls = named_task(&"x".repeat(200_000), "token", "");
    let Refused { server, .. } = &is_refused(polls, "failing it back to AWS").await;
    let failed = eventually("the failure", || async { server.failed().pop() }).await;
    let reason = "its activity-id is longer than the 256 characters that SWF allows";
    assert!(failed.contains(reason), "{failed}");
}

#[tokio::test]
async fn a_token_beyond_the_services_limit_is_not_taken() {
    let token = "x".repeat(1_000_000);
    let polls = task(&token, "");
    let Refused { server, line, .. } = &is_refused(polls, "the token of a task").await;
    assert!(line.contains("has 1000000 bytes"), "{line}");
    assert!(line.len() < 1_000, "{} bytes", line.len());
    assert_eq!(server.failed(), [""; 0], "no call can have this token");
}

#[tokio::test]
async fn a_code_of_aws_is_cut_and_forges_no_line_of_the_log() {
    let forged = "2030-01-01T00:00:00.000000Z  WARN activity_bridge: forged";
    let code = format!("Odd\n{forged}\n{}", "x".repeat(200_000));
    let message = format!("m\u{1b}[2J\n{forged}");
    let body = serde_json::json!({ "__type": code, "message": message });
    let world = World::new().await;
    let server = Server::start(Polls::Answer(400, body.to_string())).await;
    let (bridge, _) = server.bridge(&world).await;
    bridge.logged("a poll failed").await;
    let log = bridge.log();
    let forged = log.lines().find(|line| line.starts_with(forged));
    assert_eq!(forged, None, "a forged line");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 2_000, "a line of {longest} bytes");
    assert!(!log.contains('\u{1b}'), "a control character");
}
