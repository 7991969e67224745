//! `tasks`, and `/tasks` on the admin endpoint: what is in flight, and nothing that is not for every reader's eyes.

use super::{Ended, dead_port, ended};
use crate::harness::{Answer, BridgeProcess, Route, TaskMessage, World, command, eventually};
use activity_sim::{FaultRule, Schedule};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

const INPUT: &str = "marked-input";
const RESULT: &str = "marked-result";
/// What the simulator's tokens for SWF begin with.
const TOKEN: &str = "AAAAKgAAAAI";

/// The command against the bridge that listens there.
async fn tasks(config: &Path, listen: &str, flags: &[&str]) -> Ended {
    let mut command = command();
    command.args(["tasks", "--config"]).arg(config).args(flags);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    ended(command).await
}

/// The port of its admin endpoint.
async fn admin_port(bridge: &BridgeProcess) -> String {
    let said = bridge.logged("admin listening addr=").await;
    let (_, port) = said.rsplit_once(':').expect("a port");
    port.trim().to_owned()
}

/// The state of the one task of each route.
fn states(listing: &Value) -> BTreeMap<&str, &str> {
    let tasks = listing["tasks"].as_array().expect("a list").iter();
    let states: BTreeMap<_, _> = tasks
        .clone()
        .filter_map(|task| Some((task["route"].as_str()?, task["state"].as_str()?)))
        .collect();
    for task in tasks {
        assert_eq!(task["owner"], listing["owner"], "{task}");
        assert_eq!(task["id"].as_str().map(str::len), Some(32), "{task}");
        assert!(task["age_secs"].is_u64(), "{task}");
        let keys: Vec<_> = task.as_object().expect("an object").keys().collect();
        let known = [
            "age_secs",
            "id",
            "last_heartbeat_secs_ago",
            "owner",
            "route",
            "state",
        ];
        assert_eq!(keys, known);
    }
    states
}

fn assert_holds_no_secret(text: &str) {
    for secret in [INPUT, RESULT, TOKEN] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// One route for each state that a task can be in. The first is where the oldest task is.
const STATES: [(&str, &str); 4] = [
    ("still", "waiting"),
    ("busy", "working"),
    ("done", "settling"),
    ("nowhere", "publishing"),
];

#[tokio::test]
async fn the_tasks_in_flight_are_listed_with_their_states_and_without_what_they_hold() {
    let world = World::new().await;
    let unsettled = FaultRule::error("RespondActivityTaskCompleted", 500, "InternalFailure");
    world.sim.fault(unsettled);
    let still = world.worker("still", |_| Vec::new()).await;
    let beat = |_: &TaskMessage| vec![Answer::of("heartbeat", "half")];
    let _busy = world.worker("busy", beat).await;
    let _done = world.worker("done", |_| Answer::done(RESULT)).await;
    let unroutable =
        "exchange = \"amq.topic\"\nrouting_key = \"nobody\"\npoll_without_consumers = true";
    let routes = STATES.map(|(name, _)| match name {
        "nowhere" => Route::new(name).without_queue().with(unroutable),
        _ => Route::new(name),
    });
    let config = world.write_config("", &routes);
    let bridge = world.bridge(&routes).await;
    let port = admin_port(&bridge).await;
    let loopback = format!("127.0.0.1:{port}");

    let none = tasks(&config, &loopback, &[]).await;
    let said = (none.code, none.out.as_str(), none.err.as_str());
    assert_eq!(said, (Some(0), "no tasks in flight\n", ""));

    for ((name, _), number) in STATES.into_iter().zip(1..) {
        world.sim.schedule(Schedule {
            input: Some(INPUT.to_owned()),
            ..world.plain(name)
        });
        world.until("the poll", |s| s.polled == number).await;
    }
    let expected = BTreeMap::from(STATES);
    let served = eventually("every state", || async {
        let (status, text) = bridge.get("/tasks").await;
        assert_eq!(status, 200, "{text}");
        let listing: Value = serde_json::from_str(&text).expect("JSON");
        let heard = listing["tasks"].as_array()?.iter();
        let heard = heard.filter(|task| task["last_heartbeat_secs_ago"].is_u64());
        let busy = heard.map(|task| &task["route"]).eq(["busy"]);
        (busy && states(&listing) == expected).then_some(text)
    })
    .await;
    assert_holds_no_secret(&served);

    // Who listens everywhere is asked on this machine.
    let machines = tasks(&config, &format!("0.0.0.0:{port}"), &["--json"]).await;
    assert_eq!((machines.code, machines.err.as_str()), (Some(0), ""));
    assert_holds_no_secret(&machines.out);
    let listing: Value = serde_json::from_str(&machines.out).expect("JSON");
    assert_eq!(states(&listing), expected);
    let oldest = &listing["tasks"][0];
    assert_eq!(oldest["id"], still.seen()[0].id(), "the oldest first");

    let people = tasks(&config, &loopback, &[]).await;
    assert_eq!((people.code, people.err.as_str()), (Some(0), ""));
    assert_holds_no_secret(&people.out);
    let lines: Vec<_> = people.out.lines().collect();
    assert_eq!(lines.len(), 1 + STATES.len() + 2, "{}", people.out);
    assert!(lines[0].starts_with("ID  "), "{}", people.out);
    assert_eq!(lines.last(), Some(&"4 tasks in flight"), "{}", people.out);
    let row = format!("{}  still    waiting", still.seen()[0].id());
    assert!(lines[1].starts_with(&row), "{}", people.out);
}

#[tokio::test]
async fn where_no_bridge_answers_the_command_ends_with_1_and_says_how_to_mend_it() {
    let world = World::new().await;
    let config = world.write_config("", &[Route::new("payments")]);
    let nobody = format!("127.0.0.1:{}", dead_port().await);
    let stranger = world.sim.url().replace("http://", "");
    for (listen, why) in [(&nobody, "refused"), (&stranger, "answered 4")] {
        let ended = tasks(&config, listen, &[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
        for words in ["admin.listen", listen, why, "start it"] {
            assert!(ended.err.contains(words), "no {words} in {}", ended.err);
        }
    }
}
