//! What a person does about tasks, routes and parked replies, with the commands of a running bridge.

use crate::{
    cli::{Ended, ended, release::assert_said},
    harness::{
        Answer, BridgeProcess, Inbox, Route, Store, TaskMessage, Worker, World, command,
        eventually, http,
    },
};
use activity_sim::TaskState;
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

const PAYMENTS: &str = "payments";

const MAIL: &str = "mail";

/// A bridge with a local socket.
struct Place<'w> {
    world: &'w World,
    bridge: BridgeProcess,
    socket: PathBuf,
    routes: Vec<Route>,
}

impl<'w> Place<'w> {
    async fn start(world: &'w World, names: &[&str]) -> Self {
        Self::start_in(world, names, &[]).await
    }

    /// With this in its environment.
    async fn start_in(world: &'w World, names: &[&str], env: &[(&str, &str)]) -> Self {
        let socket = world.dir().join("run/admin.sock");
        let path = socket.to_str().expect("text");
        let env = [&[("ACTIVITY_BRIDGE_ADMIN__SOCKET", path)], env].concat();
        let routes: Vec<_> = names.iter().map(|name| Route::new(name)).collect();
        let bridge = world.bridge_in(&env, "", &routes).await;
        bridge.ready().await;
        Self {
            world,
            bridge,
            socket,
            routes,
        }
    }

    /// How the command of these arguments ends.
    async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = command();
        command.args(arguments).arg("--config");
        command.arg(self.world.write_config("", &self.routes));
        command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", &self.socket);
        ended(command).await
    }

    /// What the command tells machines.
    async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        let out = serde_json::from_str(&ended.out);
        out.unwrap_or_else(|_| panic!("{arguments:?}: {}{}", ended.out, ended.err))
    }

    /// The parked messages, once there are so many.
    async fn parked(&self, count: usize) -> Vec<Value> {
        eventually("what is parked", || async {
            let listed = self.json(&["parked", "list"]).await;
            let messages = listed["messages"].as_array().expect("a list").clone();
            (messages.len() == count && listed["parked"] == count).then_some(messages)
        })
        .await
    }

    /// Runs a command that must find what is parked. RabbitMQ puts back what somebody has looked at some time after that.
    async fn run_on_parked(&self, arguments: &[&str]) -> Ended {
        eventually("what was looked at is back in its queue", || async {
            let ended = self.run(arguments).await;
            let said = format!("{}{}", ended.out, ended.err);
            let is_away = ["no parked message", "no such message is parked"];
            (!is_away.iter().any(|words| said.contains(words))).then_some(ended)
        })
        .await
    }

    /// A task that a worker has begun, its activity id, and the worker.
    async fn begun(&self, inbox: &Inbox) -> (String, TaskMessage, Worker) {
        let worker = self.world.worker(PAYMENTS, |_| Vec::new()).await;
        let id = self.world.schedule(PAYMENTS, 1).remove(0);
        let task = worker.has_seen(1).await.remove(0);
        inbox.reply(&task, Answer::of("started", "")).await;
        eventually("the sign of life", || async {
            let listed = self.json(&["tasks", "--state", "working"]).await;
            (listed["tasks"].as_array()?.len() == 1).then_some(())
        })
        .await;
        (id, task, worker)
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    let found = value[key].as_str();
    found.unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[tokio::test]
async fn a_task_that_a_worker_has_begun_is_failed_with_the_reason_and_the_worker_is_told() {
    let world = World::new().await;
    let place = Place::start(&world, &[PAYMENTS]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (id, task, _worker) = place.begun(&inbox).await;
    let control = inbox.bind("activity-bridge.control", &task.id()).await;
    let reason = ["--reason", "wrong customer"];
    let failed = place
        .run(&[&["fail", &task.id()[..8]], &reason[..]].concat())
        .await;
    let full = task.id();
    let words = [&*full, "payments  failed", "1 task failed back to AWS"];
    assert_said(&failed, 0, &words);
    let closed = world.closed(&id).await;
    assert_eq!(closed.state, TaskState::Failed);
    let expected = "an operator failed it: wrong customer";
    assert_eq!(closed.reason.as_deref(), Some(expected));
    let told = inbox.next(&control).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    let line = place.bridge.logged("a person fails a task").await;
    assert!(line.contains("wrong customer"), "{line}");

    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    eventually("the late reply", || async {
        (place.bridge.metric("late_replies_total").await == 1.0).then_some(())
    })
    .await;
    let settled: Vec<_> = world
        .sim
        .tasks()
        .iter()
        .map(|task| task.settle_calls)
        .collect();
    assert_eq!(settled, [1]);
    let again = place
        .run(&[&["fail", &task.id()], &reason[..]].concat())
        .await;
    assert_said(&again, 1, &["this bridge has no task", "it has ended"]);
    let short = place.run(&[&["fail", "0f8e"], &reason[..]].concat()).await;
    assert_said(&short, 1, &["\"0f8e\" is no task", "first 8 digits"]);
    let bare = place.run(&["fail", "0f8e1c7b"]).await;
    assert_said(&bare, 2, &["--reason"]);
}

#[tokio::test]
async fn a_paused_route_takes_no_task_and_says_so_and_is_ready_until_it_is_resumed_or_a_restart() {
    let world = World::with_hold(Duration::from_secs(1)).await;
    let mut place = Place::start(&world, &[PAYMENTS, MAIL]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (id, task, _worker) = place.begun(&inbox).await;
    let other = world.worker(MAIL, |_| Answer::done("ok")).await;
    let paused = place.run(&["pause", PAYMENTS]).await;
    let words = ["route payments is paused until", "which go on: 1"];
    assert_said(&paused, 0, &words);
    let again = place.run(&["pause", PAYMENTS]).await;
    assert_said(&again, 0, &["was paused already"]);
    place
        .bridge
        .route_is(PAYMENTS, "paused by an operator")
        .await;
    let (status, body) = place.bridge.get("/readyz").await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let notes = body["routes"][0]["notes"].to_string();
    assert_eq!(status, 200, "{body}");
    assert!(notes.contains("activity-bridge resume payments"), "{notes}");
    let listed = place.run(&["tasks"]).await;
    assert_said(&listed, 0, &["route payments: paused by an operator"]);

    eventually("no open poll", || async {
        let polls = "open_polls{route=\"payments\"";
        (place.bridge.metric(polls).await == 0.0).then_some(())
    })
    .await;
    world.schedule(PAYMENTS, 1);
    world.schedule(MAIL, 2);
    other.has_seen(2).await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    assert_eq!(world.sim.summary().polled, 3, "one waits at AWS");

    let drain = place.run(&["resume"]).await;
    assert_said(&drain, 0, &["no drain was under way"]);
    let (_, state) = place.bridge.route(PAYMENTS).await;
    assert_eq!(state, "paused by an operator", "another thing");
    let resumed = place.run(&["resume", PAYMENTS]).await;
    assert_said(&resumed, 0, &["route payments takes tasks again"]);
    world.until("the poll", |s| s.polled == 4).await;
    let unknown = place.run(&["pause", "paymnts"]).await;
    let words = ["no route \"paymnts\"", "payments, mail", "admin.socket"];
    assert_said(&unknown, 1, &words);

    assert_said(&place.run(&["pause", MAIL]).await, 0, &["is paused"]);
    place.bridge.kill().await;
    let next = Place::start(&world, &[PAYMENTS, MAIL]).await;
    next.bridge.route_is(MAIL, "polling").await;
}

#[tokio::test]
async fn parked_replies_are_listed_shown_and_dropped_by_a_person_and_looking_changes_nothing() {
    let world = World::new().await;
    let place = Place::start(&world, &[PAYMENTS]).await;
    assert_said(
        &place.run(&["parked", "list"]).await,
        0,
        &["nothing is parked"],
    );
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let body = "first\u{1b}[2J\nsecond";
    world.schedule(PAYMENTS, 3);
    for task in worker.has_seen(3).await {
        let answer = Answer::of("finished", body).header("shop", "A1");
        inbox.reply(&task, answer).await;
    }
    world.until("the failures", |s| s.failed == 3).await;
    let listed = place.parked(3).await;
    for message in &listed {
        assert_eq!(
            (text(message, "route"), text(message, "kind")),
            (PAYMENTS, "finished")
        );
        assert!(
            text(message, "because").contains("\"finished\""),
            "{message}"
        );
        assert_eq!(message["size"], body.len());
        assert!(
            message["age_secs"].as_u64().is_some_and(|secs| secs < 600),
            "{message}"
        );
    }
    assert_eq!(place.parked(3).await.len(), 3);
    let ids = |listed: &[Value]| -> Vec<String> {
        listed
            .iter()
            .map(|message| text(message, "id").to_owned())
            .collect()
    };
    let mut all = ids(&listed);
    let mut again = ids(&place.parked(3).await);
    all.sort_unstable();
    again.sort_unstable();
    assert_eq!(again, all, "looks change no id");
    let table = place.run(&["parked", "list", "--limit", "2"]).await;
    let words = [
        "ID  ",
        "payments",
        "2 of 3 parked messages, the oldest first",
    ];
    assert_said(&table, 0, &words);
    assert!(!table.out.contains('\u{1b}'), "{}", table.out);

    let id = all[0].as_str();
    let shown = place.run_on_parked(&["parked", "show", id]).await;
    let words = [
        "type: finished",
        "header shop: \"A1\"",
        "\nfirst\\u{1b}[2J\nsecond\n",
    ];
    assert_said(&shown, 0, &words);
    let raw = place.run_on_parked(&["parked", "show", id, "--raw"]).await;
    assert_eq!(raw.out, body);
    let content = place.json(&["parked", "show", id]).await;
    assert_eq!(
        (text(&content, "body"), &content["is_whole"]),
        (body, &true.into())
    );

    let asked = place.run(&["parked", "drop", id]).await;
    assert_said(&asked, 2, &["--yes"]);
    let dropped = place.run_on_parked(&["parked", "drop", id, "--yes"]).await;
    assert_said(&dropped, 0, &[id, "dropped", "1 message dropped"]);
    place.parked(2).await;
    let gone = place.run(&["parked", "show", id]).await;
    assert_said(&gone, 1, &["no parked message", "parked list"]);
    let others = ["parked", "drop", "--all", "--yes", "--reason-filter"];
    let none = place.run(&[&others[..], &["another"]].concat()).await;
    assert_said(&none, 0, &["no such message is parked"]);
    let rest = place.run(&[&others[..], &["its type"]].concat()).await;
    assert_said(&rest, 0, &["2 messages dropped"]);
    assert_said(
        &place.run(&["parked", "list"]).await,
        0,
        &["nothing is parked"],
    );
    let line = place.bridge.logged("a person reads parked messages").await;
    assert!(line.contains("user="), "{line}");
}

/// As when somebody took a route out of the configuration by mistake.
#[tokio::test]
async fn a_reply_that_came_while_its_route_was_missing_is_replayed_when_the_route_is_back() {
    let world = World::new().await.kept_in(Store::File);
    let mut place = Place::start(&world, &[PAYMENTS, MAIL]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (id, task, worker) = place.begun(&inbox).await;
    drop(worker);
    place.bridge.kill().await;
    let mut place = Place::start(&world, &[MAIL]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::done("4711").remove(0)).await;
    let listed = place.parked(1).await;
    let parked = text(&listed[0], "id");
    let replayed = place.run_on_parked(&["parked", "replay", "--all"]).await;
    let words = [parked, "unknown", "this bridge has no such task"];
    assert_said(&replayed, 1, &words);
    place.bridge.terminate().await;

    // The bridge is killed when AWS has the outcome and the reply is still parked.
    let crash = [("ACTIVITY_BRIDGE_CRASH_AT", "after-aws")];
    let mut place = Place::start_in(&world, &[PAYMENTS, MAIL], &crash).await;
    place.parked(1).await;
    let died = place.run_on_parked(&["parked", "replay", parked]).await;
    assert_said(&died, 1, &["the bridge ended meanwhile"]);
    place.bridge.ended().await;

    let place = Place::start(&world, &[PAYMENTS, MAIL]).await;
    let listed = place.parked(1).await;
    assert_eq!(
        text(&listed[0], "id"),
        parked,
        "the same id after a restart"
    );
    let replayed = place.run_on_parked(&["parked", "replay", parked]).await;
    if replayed.code == Some(0) {
        assert_said(&replayed, 0, &[parked, "replayed", "AWS has what it says"]);
    } else {
        // A heartbeat to the adopted task was first, and AWS said that the task has ended.
        assert_said(&replayed, 1, &[parked, "ended", "its task has ended"]);
        let dropped = place
            .run_on_parked(&["parked", "drop", parked, "--yes"])
            .await;
        assert_eq!(dropped.code, Some(0), "{}", dropped.err);
    }
    let closed = world.closed(&id).await;
    assert_eq!(closed.state, TaskState::Completed);
    assert_eq!(closed.result.as_deref(), Some("4711"));
    assert_said(
        &place.run(&["parked", "list"]).await,
        0,
        &["nothing is parked"],
    );
}

#[tokio::test]
async fn tasks_are_listed_by_route_state_and_age() {
    let world = World::new().await;
    let place = Place::start(&world, &[PAYMENTS, MAIL]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (_, _, _worker) = place.begun(&inbox).await;
    let other = world.worker(MAIL, |_| Vec::new()).await;
    world.schedule(MAIL, 1);
    other.has_seen(1).await;
    for (arguments, routes) in [
        (&["--route", MAIL][..], &[MAIL][..]),
        (&["--state", "working", "--route", PAYMENTS], &[PAYMENTS]),
        (&["--older-than", "1h"], &[]),
        (&["--younger-than", "1h"], &[PAYMENTS, MAIL]),
    ] {
        let listed = place.json(&[&["tasks"], arguments].concat()).await;
        let tasks = listed["tasks"].as_array().expect("a list");
        let found: Vec<_> = tasks.iter().map(|task| text(task, "route")).collect();
        assert_eq!(found, routes, "{arguments:?}");
    }
    let table = place.run(&["tasks", "--older-than", "1h"]).await;
    assert_said(&table, 0, &["none of the 2 tasks in flight"]);
    let unknown = place.run(&["tasks", "--route", "paymnts"]).await;
    assert_said(&unknown, 1, &["there is no route \"paymnts\""]);
    let state = place.run(&["tasks", "--state", "begun"]).await;
    assert_said(&state, 2, &["publishing, waiting, working or settling"]);
}

/// They change something, or show what workers wrote.
#[tokio::test]
async fn no_verb_is_taken_on_the_network() {
    let world = World::new().await;
    let place = Place::start(&world, &[PAYMENTS]).await;
    for (path, body) in [
        (
            "pause",
            serde_json::json!({"store": "memory", "route": PAYMENTS, "pauses": true}),
        ),
        (
            "parked",
            serde_json::json!({"store": "memory", "verb": {"list": {"limit": 1, "because": null}}}),
        ),
    ] {
        let url = format!("http://{}/{path}", place.bridge.admin_addr());
        let posted = http().post(&url).json(&body).send().await;
        assert_eq!(posted.expect("an answer").status().as_u16(), 404);
    }
    let (_, state) = place.bridge.route(PAYMENTS).await;
    assert_ne!(state, "paused by an operator");
}
