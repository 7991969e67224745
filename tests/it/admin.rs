//! The admin endpoint and the log: what operators and their machines read.

use crate::harness::{
    Answer, BridgeProcess, HOLD, Route, Scene, TEST_TIMEOUT, TaskMessage, World, command,
    eventually,
};
use activity_bridge::process::descriptors::raise;
use activity_sim::{Schedule, TaskState};
use rstest::rstest;
use serde_json::Value;
use std::{collections::HashSet, net::IpAddr};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

#[tokio::test]
async fn readiness_is_json_that_tells_of_the_broker_the_store_and_each_route() {
    let scene = Scene::with("max_in_flight = 3\npollers = { min = 1, max = 1 }").await;
    scene.bridge.route_is("payments", "polling").await;
    let (id, task) = scene.task(scene.plain()).await;
    let expected = serde_json::json!({
        "ready": true, "phase": "running", "broker": "connected", "store": "ok", "store_notes": [],
        "tasks_in_flight": 1,
        "routes": [{
            "name": "payments", "source": "swf", "ready": true, "state": "polling", "reason": "polling", "slots_taken": 2, "slots": 3,
            "notes": []
        }],
    });
    // Between one poll and the next the second slot is free for a moment.
    eventually("a body that tells of the task and of a poll", || async {
        let (status, body) = scene.bridge.get("/readyz").await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (body == expected).then_some(())
    })
    .await;
    assert_eq!(scene.bridge.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(scene.bridge.get("/nowhere").await.0, 404);
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
}

#[tokio::test]
async fn metrics_are_in_prometheus_s_format_with_our_prefix_and_no_task_in_a_label() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
    scene.bridge.idle().await;
    let answer = scene.bridge.answer("/metrics").await;
    assert_eq!(answer.status().as_u16(), 200);
    let content_type = answer.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    let text = answer.text().await.expect("text");
    assert!(!text.contains(&task.id()[..8]), "a task's id in a label");
    let mut families = HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<_> = comment.splitn(3, ' ').collect();
            assert!(
                matches!(words[0], "HELP" | "TYPE") && words.len() == 3,
                "{line}"
            );
            families.insert(words[1].to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().expect("a name");
        let prefixes = ["activity_bridge_", "process_"];
        let ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
        assert!(ours, "{line}");
        let plain = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        assert!(
            families.contains(plain.unwrap_or(name)) || families.contains(name),
            "{line}: no HELP or TYPE"
        );
        if let Some((_, labels)) = series.split_once('{') {
            assert!(labels.ends_with('}'), "{line}");
        }
    }
    assert!(families.len() >= 10, "{families:?}");
}

/// The bridge listens on the loopback address alone. It sees the address that its client has bound.
#[tokio::test]
async fn whole_ids_are_for_this_machine_alone() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // It sends nothing.
    let routed = socket.connect("192.0.2.1:9");
    routed.expect("this machine has an address that is not loopback");
    let own = socket.local_addr().expect("an address").ip();
    assert!(!own.is_loopback(), "{own}");
    for (from, knows) in [(IpAddr::from([127, 0, 0, 1]), true), (own, false)] {
        let client = reqwest::Client::builder().local_address(from).build();
        let client = client.expect("a client");
        let get = async |path| {
            let url = format!("http://{}/{path}", scene.bridge.admin_addr());
            let answer = client.get(url).timeout(TEST_TIMEOUT).send().await;
            let text = answer.expect("an answer").text().await;
            text.expect("a text")
        };
        let tasks = get("tasks").await;
        assert!(tasks.contains(&task.id()[..8]), "{tasks}");
        assert_eq!(tasks.contains(&task.id()), knows, "{from}: {tasks}");
        for path in ["livez", "readyz", "started", "drained", "metrics"] {
            let said = get(path).await;
            assert!(!said.contains(&task.id()), "{path}: {said}");
        }
    }
}

/// Every line is an object, and no input, result, reason or detail is in any of them, not even at the level `debug`.
#[tokio::test]
async fn the_json_log_is_json_line_by_line_and_holds_nothing_of_a_task_but_the_beginning_of_its_id()
{
    const INPUT: &str = "marked-input";
    const WORDS: &str = "marked-words";
    let world = World::new().await;
    let worker = world.worker("payments", answer_by_input).await;
    let log = world.dir().join("bridge.jsonl");
    let mut bridge = command();
    bridge
        .args(["run", "--config"])
        .arg(world.write_config("", &[Route::new("payments")]));
    bridge
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("ACTIVITY_BRIDGE_LOG__FORMAT", "json");
    bridge.stderr(std::fs::File::create(&log).expect("writable"));
    let mut bridge = bridge.spawn().expect("it starts");
    for case in 0..CASES.len() {
        world.sim.schedule(Schedule {
            input: Some(format!("{case} {INPUT}")),
            ..world.plain("payments")
        });
    }
    let summary = world
        .until("all closed", |s| s.closed() == CASES.len() as u64)
        .await;
    assert_eq!((summary.completed, summary.failed), (1, 4), "{summary:?}");
    let pid = bridge.id().expect("it runs").to_string();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(killed.expect("kill runs").success());
    let ended = timeout(TEST_TIMEOUT, bridge.wait())
        .await
        .expect("it ends in time");
    assert!(ended.expect("a status").success());

    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "no {key} in {line}");
        }
    }
    for task in worker.seen() {
        let id = task.id();
        let about = lines.iter().filter(|line| line["task"] == id[..8]);
        assert!(about.count() > 2, "no lines about {id}");
        assert!(!text.contains(&id), "the whole id {id}");
    }
    for marker in [INPUT, WORDS] {
        let shown = text.lines().find(|line| line.contains(marker));
        assert_eq!(shown, None, "{marker}");
    }
    let failed = world
        .sim
        .tasks()
        .into_iter()
        .find(|task| task.state == TaskState::Failed);
    assert!(
        failed.is_some_and(|task| format!("{task:?}").contains(WORDS)),
        "the markers went the whole way"
    );

    fn answer_by_input(task: &TaskMessage) -> Vec<Answer> {
        let case: usize = task.body[..1].parse().expect("a digit");
        CASES[case](WORDS)
    }
}

/// Thousands of clients begin a request and say no more. The process may have far fewer file descriptors.
#[rstest]
#[tokio::test]
async fn half_open_requests_leave_the_probes_and_the_tasks_alone(
    #[values(100, 1_024)] descriptors: usize,
) {
    const HALF_OPEN: usize = 3_000;
    let world = World::of_the_endpoint(HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new("payments")]);
    let limited = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    let bridge = BridgeProcess::start_by(&["sh", "-c", &limited], &config, &world.sim.url()).await;
    bridge.ready().await;
    raise();
    let mut half_open = Vec::new();
    for number in 0..HALF_OPEN {
        let mut stream = TcpStream::connect(bridge.admin_addr())
            .await
            .expect("connected");
        let begun = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n");
        begun.await.expect("written");
        half_open.push(stream);
        if number % 500 == 0 {
            assert_eq!(bridge.get("/livez").await.0, 200);
        }
    }
    assert_eq!(bridge.get("/livez").await.0, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", bridge.pid())).expect("listed");
    let open = open.count();
    assert!(open < descriptors, "{open}");
    // A connection to AWS and one of a worker still have room.
    let _another = world.worker("payments", |_| Answer::done("ok")).await;
    for id in world.schedule("payments", 20) {
        assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    }
    bridge.ready().await;
    drop(half_open);
}

/// What a worker may say, with a marker wherever it can put one.
const CASES: [fn(&str) -> Vec<Answer>; 5] = [
    |words| {
        vec![
            Answer::of("heartbeat", words),
            Answer::of("completed", words),
        ]
    },
    |words| vec![Answer::of("failed", words).header("reason", words)],
    |words| vec![Answer::of("canceled", words)],
    |words| vec![Answer::of("surprise", words).header("note", words)],
    |words| vec![Answer::of("completed", &words.repeat(4_000))],
];
