//! The commands `drain` and `resume`, what a hook of a pod asks for, and the end of a process that has nothing to do.

use crate::{
    cli::{Ended, ended},
    harness::{Answer, BridgeProcess, Inbox, Route, World, command, eventually, free_port, http},
};
use activity_sim::TaskState;
use serde_json::Value;
use std::{
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixListener},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

const PAYMENTS: &str = "payments";

/// A bridge whose settings say nothing of a local socket.
struct Place<'w> {
    world: &'w World,
    bridge: BridgeProcess,
    listen: String,
    settings: &'static str,
}

impl<'w> Place<'w> {
    async fn start(world: &'w World, settings: &'static str) -> Self {
        Self::start_at(world, settings, free_port()).await
    }

    async fn start_at(world: &'w World, settings: &'static str, port: u16) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let env = [("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen.as_str())];
        let bridge = world
            .bridge_in(&env, settings, &[Route::new(PAYMENTS)])
            .await;
        Self {
            world,
            bridge,
            listen,
            settings,
        }
    }

    fn config(&self) -> PathBuf {
        self.world
            .write_config(self.settings, &[Route::new(PAYMENTS)])
    }

    /// How the command of these words ends.
    async fn run(&self, words: &str) -> Ended {
        let mut command = command();
        command.args(words.split(' '));
        command.arg("--config").arg(self.config());
        command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", &self.listen);
        ended(command).await
    }

    /// The phase that `/readyz` tells, and its status.
    async fn phase(&self) -> (u16, String) {
        let (status, body) = self.bridge.get("/readyz").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status, body["phase"].as_str().expect("a text").to_owned())
    }

    /// What the local socket answers to a request without a body.
    async fn ask(&self, request: &str) -> String {
        let path = format!("\0activity-bridge/{}", self.listen);
        let mut stream = UnixStream::connect(path).await.expect("connected");
        let asked = format!(
            "{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

#[track_caller]
fn assert_said(ended: &Ended, code: i32, words: &[&str]) {
    let said = format!("{}{}", ended.out, ended.err);
    assert_eq!(ended.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

#[tokio::test]
async fn a_drain_and_its_resume_need_no_setting_and_a_drained_bridge_lives_and_takes_no_task() {
    let world = World::new().await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let mut place = Place::start(&world, "").await;
    world.schedule(PAYMENTS, 3);
    world.until("completed", |s| s.completed == 3).await;
    assert_said(
        &place.run("drain").await,
        0,
        &["drained: nothing is in flight"],
    );
    assert_eq!(place.phase().await, (503, "drained".to_owned()));
    let (_, state) = place.bridge.route(PAYMENTS).await;
    assert_eq!(state, "no new polls: drained");
    assert_eq!(place.bridge.get("/livez").await.0, 200);
    assert_eq!(place.bridge.get("/started").await.0, 200);
    let (status, body) = place.bridge.get("/drained").await;
    let state: Value = serde_json::from_str(&body).expect("JSON");
    let expected = serde_json::json!({"drained": true, "phase": "drained", "open_polls": 0, "tasks_in_flight": 0});
    assert_eq!((status, state), (200, expected));
    world.schedule(PAYMENTS, 3);
    assert_eq!(world.sim.summary().open_polls, 0);
    assert_said(&place.run("drain").await, 0, &["drained"]);
    let polled = world.sim.summary().polled;
    assert_eq!((polled, worker.seen().len()), (3, 3));

    assert_said(&place.run("resume").await, 0, &["the drain was taken back"]);
    world.until("completed", |s| s.completed == 6).await;
    place.bridge.ready().await;
    assert_said(&place.run("resume").await, 0, &["no drain was under way"]);

    assert_said(&place.run("drain").await, 0, &["drained"]);
    assert!(place.bridge.terminate().await.success());
    world.assert_each_completed_once(6);
    let nobody = place.run("drain").await;
    assert_said(
        &nobody,
        1,
        &["no bridge listens there", "admin.socket is not set"],
    );
}

#[tokio::test]
async fn a_drain_that_is_not_done_in_time_says_what_is_in_flight_and_goes_on() {
    let world = World::new().await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let place = Place::start(&world, "[shutdown]\ngrace_secs = 5").await;
    world.schedule(PAYMENTS, 2);
    let tasks = worker.has_seen(2).await;
    let words = [
        "not drained in time",
        "tasks in flight: 2",
        "activity-bridge resume",
    ];
    assert_said(&place.run("drain").await, 1, &words);
    let (status, body) = place.bridge.get("/drained").await;
    let state: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &state["tasks_in_flight"]), (503, &2.into()));
    assert_eq!(state["drained"], false);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for task in &tasks {
        inbox.reply(task, Answer::done("ok").remove(0)).await;
    }
    world.until("completed", |s| s.completed == 2).await;
    eventually("the end of the drain", || async {
        (place.phase().await.1 == "drained").then_some(())
    })
    .await;
    assert_said(&place.run("drain").await, 0, &["drained"]);
}

#[tokio::test]
async fn without_a_drain_who_waits_is_answered_soon_and_a_resume_tells_who_waits() {
    let world = World::new().await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let place = Place::start(&world, "").await;
    assert_eq!(place.bridge.get("/drained").await, (204, String::new()));
    world.schedule(PAYMENTS, 1);
    worker.has_seen(1).await;
    let resume = async {
        place.bridge.logged("no new polls").await;
        place.run("resume").await
    };
    let (drained, resumed) = tokio::join!(place.run("drain"), resume);
    assert_said(&resumed, 0, &["taken back"]);
    assert_said(&drained, 1, &["the drain was taken back"]);
}

#[tokio::test]
async fn a_release_needs_no_setting_and_is_refused_by_a_drained_bridge() {
    let world = World::new().await;
    let place = Place::start(&world, "").await;
    place.bridge.ready().await;
    let release = "release --route payments";
    let none = place.run(release).await;
    assert_said(&none, 0, &["no task of route payments waits for a worker"]);
    assert_said(&place.run("drain").await, 0, &["drained"]);
    let refused = place.run(release).await;
    assert_said(
        &refused,
        1,
        &["the phase drained", "admin.socket is not set"],
    );
}

/// A drain changes something, so the system must say who asks.
#[tokio::test]
async fn a_drain_is_asked_for_by_post_on_the_local_socket_and_nowhere_else() {
    let world = World::new().await;
    let place = Place::start(&world, "").await;
    for name in ["drain", "resume"] {
        let url = format!("http://{}/{name}", place.listen);
        let posted = http().post(&url).send().await.expect("an answer");
        assert_eq!(posted.status().as_u16(), 404);
        assert_eq!(place.bridge.get(&format!("/{name}")).await.0, 404);
        let got = place.ask(&format!("GET /{name}")).await;
        assert!(got.starts_with("HTTP/1.1 405"), "{got}");
    }
    assert_eq!(place.phase().await.1, "running");
    let posted = place.ask("POST /drain").await;
    assert!(posted.starts_with("HTTP/1.1 202"), "{posted}");
    let drained = place.ask("GET /drained").await;
    assert!(drained.starts_with("HTTP/1.1 200"), "{drained}");
}

/// Starts as root and becomes another user, as a process of another user in the same network.
const OTHER_USER: &str = r#"
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect("\0" + sys.argv[1])
s.sendall(b"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
print(s.recv(100).decode())
"#;

#[tokio::test]
async fn another_user_can_not_drain_the_bridge() {
    if !is_root() {
        eprintln!("only root can become another user; nothing is tested");
        return;
    }
    let world = World::new().await;
    let place = Place::start(&world, "").await;
    let name = format!("activity-bridge/{}", place.listen);
    let mut other = tokio::process::Command::new("python3");
    let other = other
        .args(["-c", OTHER_USER, &name])
        .output()
        .await
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&other.stdout);
    assert!(said.starts_with("HTTP/1.1 403"), "{other:?}");
    assert_eq!(place.phase().await.1, "running");
}

/// Whoever is root in another container of a pod is not in the bridge's process namespace.
#[tokio::test]
async fn another_container_can_not_drain_the_bridge() {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let mut trying = tokio::process::Command::new(unshare[0]);
    let trying = trying.args(&unshare[1..]).arg("true").status().await;
    if !trying.is_ok_and(|status| status.success()) {
        eprintln!("no process namespace can be made here; nothing is tested");
        return;
    }
    let world = World::new().await;
    let listen = format!("127.0.0.1:{}", free_port());
    let env = format!("ACTIVITY_BRIDGE_ADMIN__LISTEN={listen}");
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let starter = [["env", &env].as_slice(), &unshare].concat();
    let bridge = BridgeProcess::start_by(&starter, &config, &world.sim.url()).await;
    let place = Place {
        world: &world,
        bridge,
        listen,
        settings: "",
    };
    let words = ["refused", "not from another container"];
    assert_said(&place.run("drain").await, 1, &words);
    assert_eq!(place.phase().await.1, "running");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"))
}

/// Nobody needs the commands so much that the bridge must not work without them.
#[tokio::test]
async fn a_bridge_starts_without_a_local_socket_where_somebody_has_its_name() {
    let world = World::new().await;
    let port = free_port();
    let name = format!("activity-bridge/127.0.0.1:{port}");
    let addr = SocketAddr::from_abstract_name(&name).expect("a name");
    let _other = UnixListener::bind_addr(&addr).expect("bound");
    let place = Place::start_at(&world, "", port).await;
    let warning = place.bridge.logged("there is no local socket").await;
    assert!(warning.contains(&format!("@{name}")), "{warning}");
    assert_eq!(place.bridge.get("/livez").await.0, 200);
}

#[tokio::test]
async fn callers_that_wait_are_bounded_and_keep_nobody_from_a_probe() {
    let world = World::new().await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let place = Place::start(&world, "").await;
    world.schedule(PAYMENTS, 1);
    worker.has_seen(1).await;
    let posted = place.ask("POST /drain").await;
    assert!(posted.starts_with("HTTP/1.1 202"), "{posted}");
    let url = format!("http://{}/drained", place.listen);
    let get = || {
        let sending = http().get(&url).send();
        async move { sending.await.expect("an answer").status().as_u16() }
    };
    let callers: Vec<_> = (0..20).map(|_| tokio::spawn(get())).collect();
    eventually("the refusal of four", || async {
        let answered = callers.iter().filter(|caller| caller.is_finished());
        (answered.count() == 4).then_some(())
    })
    .await;
    assert_eq!(place.bridge.get("/livez").await.0, 200);
    let resumed = place.ask("POST /resume").await;
    assert!(resumed.starts_with("HTTP/1.1 200"), "{resumed}");
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.expect("no panic"));
    }
    answers.sort_unstable();
    assert_eq!(answers, [[409; 16].as_slice(), &[429; 4]].concat());
}

#[tokio::test]
async fn the_start_is_over_though_aws_refuses_a_route_and_not_before_the_broker_is_there() {
    let world = World::new().await;
    let routes = [
        Route::new(PAYMENTS),
        Route::new("forbidden")
            .domain("nowhere")
            .with("poll_without_consumers = true"),
    ];
    let bridge = world.bridge(&routes).await;
    bridge.route_is("forbidden", "refused").await;
    eventually("the start", || async {
        (bridge.get("/started").await == (200, "started\n".to_owned())).then_some(())
    })
    .await;
    assert_eq!(bridge.get("/readyz").await.0, 503);

    let world = World::at(
        "amqp://guest:guest@127.0.0.1:1".to_owned(),
        Duration::from_secs(2),
    )
    .await;
    let bridge = world.bridge(&[Route::new(PAYMENTS)]).await;
    bridge.route_is(PAYMENTS, "the broker is away").await;
    let (status, words) = bridge.get("/started").await;
    assert_eq!(status, 503);
    assert!(
        words.starts_with("not started\nroute payments: the broker is away"),
        "{words}"
    );
}

#[tokio::test]
async fn a_bridge_that_runs_until_it_is_idle_does_its_tasks_and_ends_by_itself() {
    let world = World::new().await;
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let starter = ["sh", "-c", "exec \"$@\" --until-idle 5", "sh"];
    world.schedule(PAYMENTS, 5);
    let mut bridge = BridgeProcess::start_by(&starter, &config, &world.sim.url()).await;
    assert!(bridge.ended().await.success());
    bridge
        .logged("no task came for 5 s, and none is in flight")
        .await;
    for task in world.sim.tasks() {
        assert_eq!(task.state, TaskState::Completed, "{task:?}");
        assert!(!task.abandoned_poll, "{task:?}");
    }
    assert_eq!(
        world.sim.summary().open_polls,
        0,
        "an open poll was cancelled"
    );
}

#[tokio::test]
async fn without_a_local_socket_the_command_says_what_to_set() {
    let world = World::new().await;
    let mut command = command();
    command.args(["drain", "--config"]);
    command.arg(world.write_config("", &[Route::new(PAYMENTS)]));
    let unnamed = ended(command).await;
    assert_said(
        &unnamed,
        1,
        &["there is no local socket", "admin.socket", "admin.listen"],
    );
}
