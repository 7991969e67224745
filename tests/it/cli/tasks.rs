//! The command `tasks`, and `/tasks` on the admin endpoint: they list the tasks in flight, and show no secret.

use super::{Ended, NOBODY, ended};
use crate::harness::{
    Answer, BridgeProcess, File, Memory, Redis, Route, Store, TaskMessage, Worker, World, command,
    eventually,
};
use activity_sim::{FaultRule, Schedule};
use rstest::rstest;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const INPUT: &str = "marked-input";
const RESULT: &str = "marked-result";
/// What the simulator's tokens for SWF begin with.
const TOKEN: &str = "AAAAKgAAAAI";

/// One route for each state that a task can be in. The first is where the oldest task is.
const STATES: [(&str, &str); 4] = [
    ("still", "waiting"),
    ("busy", "working"),
    ("done", "settling"),
    ("nowhere", "publishing"),
];

fn routes() -> [Route; 4] {
    let unroutable =
        "exchange = \"amq.topic\"\nrouting_key = \"nobody\"\npoll_without_consumers = true";
    STATES.map(|(name, _)| {
        // Only the worker is heard of.
        let route = Route::new(name).with("heartbeat = { timeout_secs = 3000 }");
        match name {
            "nowhere" => route.without_queue().with(unroutable),
            _ => route,
        }
    })
}

/// A bridge that has a task in each state.
struct EveryState {
    world: World,
    bridge: BridgeProcess,
    /// Of the routes in the order of the states; the first has seen the oldest task.
    workers: [Worker; 3],
}

impl EveryState {
    async fn kept_in(store: Store) -> Self {
        let world = World::new().await.kept_in(store);
        let unsettled = FaultRule::error("RespondActivityTaskCompleted", 500, "InternalFailure");
        world.sim.fault(unsettled);
        let beat = |_: &TaskMessage| vec![Answer::of("heartbeat", "half")];
        let workers = [
            world.worker("still", |_| Vec::new()).await,
            world.worker("busy", beat).await,
            world.worker("done", |_| Answer::done(RESULT)).await,
        ];
        let brief = "[shutdown]\ngrace_secs = 4";
        let bridge = world.bridge_with(brief, &routes()).await;
        for (name, _) in STATES {
            world.sim.schedule(Schedule {
                input: Some(INPUT.to_owned()),
                ..world.plain(name)
            });
            let oldest = || async { workers[0].seen().pop() };
            eventually("the oldest task", oldest).await;
        }
        eventually("every state", || async {
            let (status, text) = bridge.get("/tasks").await;
            assert_eq!(status, 200, "{text}");
            assert_holds_no_secret(&text);
            let listing: Value = serde_json::from_str(&text).expect("JSON");
            (states(&listing) == BTreeMap::from(STATES) && heard(&listing) == ["busy"])
                .then_some(())
        })
        .await;
        Self {
            world,
            bridge,
            workers,
        }
    }

    /// The command, with the configuration of the bridge.
    async fn tasks(&self, listen: &str, flags: &[&str]) -> Ended {
        let config = self.world.write_config("", &routes());
        tasks(&config, listen, flags).await
    }

    fn oldest(&self) -> String {
        self.workers[0].seen()[0].id()
    }
}

/// The command, where the admin endpoint is said to listen there.
async fn tasks(config: &Path, listen: &str, flags: &[&str]) -> Ended {
    let mut command = command();
    command.args(["tasks", "--config"]).arg(config).args(flags);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    let ended = ended(command).await;
    assert_holds_no_secret(&ended.out);
    assert_holds_no_secret(&ended.err);
    ended
}

/// What it listed.
fn listed(ended: &Ended) -> Value {
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.out).expect("JSON")
}

fn assert_holds_no_secret(text: &str) {
    for secret in [INPUT, RESULT, TOKEN] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

fn entries(listing: &Value) -> &Vec<Value> {
    listing["tasks"].as_array().expect("a list")
}

/// The state of the one task of each route. Asserts that nothing is told of a task but what shall be.
fn states(listing: &Value) -> BTreeMap<&str, &str> {
    const KEYS: [&str; 7] = [
        "age_secs",
        "id",
        "last_heartbeat_secs_ago",
        "owner",
        "route",
        "short_id",
        "state",
    ];
    for task in entries(listing) {
        let keys: Vec<_> = task.as_object().expect("an object").keys().collect();
        assert_eq!(keys, KEYS);
        let id = task["id"].as_str().expect("a text");
        assert_eq!(id.len(), 32, "{task}");
        assert_eq!(task["short_id"], id[..8], "{task}");
        assert!(task["age_secs"].is_u64(), "{task}");
    }
    entries(listing)
        .iter()
        .filter_map(|task| Some((task["route"].as_str()?, task["state"].as_str()?)))
        .collect()
}

/// The routes whose task AWS has taken a heartbeat for.
fn heard(listing: &Value) -> Vec<&str> {
    entries(listing)
        .iter()
        .filter(|task| task["last_heartbeat_secs_ago"].is_u64())
        .filter_map(|task| task["route"].as_str())
        .collect()
}

/// Who has the tasks.
fn owners(listing: &Value) -> BTreeSet<String> {
    let owners = entries(listing)
        .iter()
        .map(|task| task["owner"].to_string());
    owners.collect()
}

async fn admin_port(bridge: &BridgeProcess) -> String {
    let said = bridge.logged("admin listening addr=").await;
    let (_, port) = said.rsplit_once(':').expect("a port");
    port.trim().to_owned()
}

#[rstest]
#[tokio::test]
async fn a_running_bridge_lists_its_tasks_for_people_and_for_machines(
    #[values(Memory, File)] store: Store,
) {
    let scene = EveryState::kept_in(store).await;
    let port = admin_port(&scene.bridge).await;
    // Who listens everywhere is asked on this machine.
    let machines = scene.tasks(&format!("0.0.0.0:{port}"), &["--json"]).await;
    let listing = listed(&machines);
    assert_eq!(states(&listing), BTreeMap::from(STATES));
    assert_eq!(
        listing["tasks"][0]["id"],
        scene.oldest(),
        "the oldest first"
    );
    assert!(listing["owner"].is_string(), "{listing}");
    assert_eq!(
        owners(&listing),
        BTreeSet::from([listing["owner"].to_string()])
    );

    let people = scene.tasks(&format!("127.0.0.1:{port}"), &[]).await;
    assert_eq!((people.code, people.err.as_str()), (Some(0), ""));
    let lines: Vec<_> = people.out.lines().collect();
    assert_eq!(lines.len(), 1 + STATES.len() + 2, "{}", people.out);
    assert!(lines[0].starts_with("ID  "), "{}", people.out);
    let row = format!("{}  still    waiting", scene.oldest());
    assert!(lines[1].starts_with(&row), "{}", people.out);
    assert_eq!(lines.last(), Some(&"4 tasks in flight"), "{}", people.out);
}

/// The command with this in its environment, where nobody listens at the address.
async fn tasks_on_socket(config: &Path, socket: &Path) -> Ended {
    let mut command = command();
    command.args(["tasks", "--json", "--config"]).arg(config);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", NOBODY);
    command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", socket);
    ended(command).await
}

#[tokio::test]
async fn where_there_is_a_local_socket_the_command_asks_there() {
    let world = World::new().await;
    let worker = world.worker("still", |_| Vec::new()).await;
    let socket = world.dir().join("run/admin.sock");
    let path = socket.to_str().expect("text");
    let routes = [Route::new("still")];
    let mut bridge = world
        .bridge_in(&[("ACTIVITY_BRIDGE_ADMIN__SOCKET", path)], "", &routes)
        .await;
    bridge.logged("admin listening on a local socket").await;
    world.schedule("still", 1);
    let task = worker.has_seen(1).await.remove(0);
    let config = world.write_config("", &routes);
    let told = listed(&tasks_on_socket(&config, &socket).await);
    assert_eq!(entries(&told).len(), 1, "{told}");
    assert_eq!(told["tasks"][0]["id"], task.id());
    assert_eq!(told["tasks"][0]["short_id"], task.id()[..8]);
    // It is the one on the address as well.
    let (_, on_address) = bridge.get("/tasks").await;
    assert!(on_address.contains(&task.id()), "{on_address}");

    // It leaves the socket behind.
    bridge.kill().await;
    assert!(socket.exists());
    let nobody = tasks_on_socket(&config, &socket).await;
    assert_eq!((nobody.code, nobody.out.as_str()), (Some(1), ""));
    for words in ["no bridge listens at", path, "admin.socket"] {
        assert!(nobody.err.contains(words), "no {words} in {}", nobody.err);
    }
}

#[tokio::test]
async fn a_local_socket_where_others_can_write_ends_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let folder = world.dir().join("open");
    std::fs::create_dir(&folder).expect("a folder");
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder, mode).expect("a mode");
    let mut command = command();
    command.args(["run", "--config"]);
    command.arg(world.write_config("", &[Route::new("still")]));
    command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", folder.join("admin.sock"));
    let ended = ended(command).await;
    assert_eq!(ended.code, Some(1));
    for words in ["admin.socket", "others can write to the folder"] {
        assert!(ended.err.contains(words), "no {words} in {}", ended.err);
    }
}

#[tokio::test]
async fn a_bridge_without_tasks_lists_none() {
    let world = World::new().await;
    let bridge = world.bridge(&routes()).await;
    let listen = format!("127.0.0.1:{}", admin_port(&bridge).await);
    let none = tasks(&world.write_config("", &routes()), &listen, &[]).await;
    let said = (none.code, none.out.as_str(), none.err.as_str());
    assert_eq!(said, (Some(0), "no tasks in flight\n", ""));
}

#[tokio::test]
async fn where_no_bridge_answers_the_command_ends_with_1_and_says_how_to_mend_it() {
    let world = World::new().await;
    let config = world.write_config("", &routes());
    let stranger = world.sim.url().replace("http://", "");
    for (listen, why) in [(NOBODY, "refused"), (&*stranger, "answered 4")] {
        let ended = tasks(&config, listen, &[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
        for words in ["admin.listen", listen, why, "start the bridge"] {
            assert!(ended.err.contains(words), "no {words} in {}", ended.err);
        }
    }
}

/// What was on its way to AWS is not written down.
fn as_stored() -> BTreeMap<&'static str, &'static str> {
    let mut states = BTreeMap::from(STATES);
    states.insert("done", "waiting");
    states
}

#[tokio::test]
async fn the_file_is_read_where_no_bridge_runs_and_not_where_one_does() {
    let mut scene = EveryState::kept_in(File).await;
    // Its admin endpoint is not where the configuration says.
    let locked = scene.tasks(NOBODY, &[]).await;
    assert_eq!((locked.code, locked.out.as_str()), (Some(1), ""));
    for words in [
        "admin.listen",
        "refused",
        "tasks.redb",
        "a bridge has it open",
    ] {
        assert!(locked.err.contains(words), "no {words} in {}", locked.err);
    }

    assert!(scene.bridge.terminate().await.success());
    let listing = listed(&scene.tasks(NOBODY, &["--json"]).await);
    assert_eq!(states(&listing), as_stored());
    assert_eq!(
        listing["tasks"][0]["id"],
        scene.oldest(),
        "the oldest first"
    );
    assert_eq!(owners(&listing), BTreeSet::from(["null".to_owned()]));
    assert_eq!(listing["owner"], Value::Null);
}

#[tokio::test]
async fn redis_is_read_for_the_tasks_of_all_replicas() {
    let mut scene = EveryState::kept_in(Redis).await;
    let more = Route::new("more").with("heartbeat = { timeout_secs = 3000 }");
    let _still = scene.world.worker("more", |_| Vec::new()).await;
    let replica = scene.world.bridge(&[more]).await;
    scene.world.schedule("more", 1);
    let mut expected = as_stored();
    expected.insert("more", "waiting");
    let listing = eventually("the task of the replica", || async {
        let listing = listed(&scene.tasks(NOBODY, &["--json"]).await);
        let there = states(&listing) == expected && heard(&listing) == ["busy"];
        there.then_some(listing)
    })
    .await;
    let mut expected = BTreeSet::new();
    for bridge in [&scene.bridge, &replica] {
        let (_, text) = bridge.get("/tasks").await;
        let own: Value = serde_json::from_str(&text).expect("JSON");
        expected.insert(own["owner"].to_string());
    }
    assert_eq!(owners(&listing), expected);
    assert_eq!(expected.len(), 2, "{listing}");
    // Its tasks are still there, for others.
    scene.bridge.kill().await;
    let left = listed(&scene.tasks(NOBODY, &["--json"]).await);
    assert_eq!(entries(&left).len(), STATES.len() + 1, "{left}");
}
