//! The command `release`: tasks whose messages are lost are published again, or failed back to AWS.

use super::{Ended, ended};
use crate::{
    harness::{
        Answer, BridgeProcess, File, Inbox, Memory, Redis, Route, Store, TaskMessage, World,
        command, eventually,
    },
    lost_queue::{has_messages, have_confirmed},
};
use lapin::options::QueuePurgeOptions;
use rstest::rstest;
use serde_json::Value;
use std::{collections::HashSet, path::PathBuf};

const PAYMENTS: &str = "payments";

const MAIL: &str = "mail";

/// Two routes. Without consumers, so that tasks wait in the queues.
fn routes() -> [Route; 2] {
    let settings = "poll_without_consumers = true\nmax_ready = 50";
    [PAYMENTS, MAIL].map(|name| Route::new(name).with(settings))
}

/// A bridge with a local socket.
pub struct Releasing<'w> {
    world: &'w World,
    pub bridge: BridgeProcess,
    socket: PathBuf,
}

impl<'w> Releasing<'w> {
    pub async fn start(world: &'w World) -> Self {
        let socket = world.dir().join("run/admin.sock");
        let path = socket.to_str().expect("text");
        let env = [("ACTIVITY_BRIDGE_ADMIN__SOCKET", path)];
        let bridge = world.bridge_in(&env, "", &routes()).await;
        for name in [PAYMENTS, MAIL] {
            bridge.route_is(name, "polling").await;
        }
        bridge.ready().await;
        Self {
            world,
            bridge,
            socket,
        }
    }

    /// The command with these arguments, and the configuration of the bridge.
    pub async fn release(&self, arguments: &[&str]) -> Ended {
        let config = self.world.write_config("", &routes());
        let mut command = command();
        command.args(["release", "--config"]).arg(config);
        command.args(arguments);
        command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", &self.socket);
        ended(command).await
    }

    /// The same for machines: the result of each task, by id.
    pub async fn results(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let ended = self.release(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.err, "");
        let releases: Value = serde_json::from_str(&ended.out).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let tasks = releases["tasks"].as_array().expect("a list");
        let results = tasks.iter().map(|task| {
            assert_eq!(task["short_id"], text(&task["id"])[..8], "{task}");
            (text(&task["id"]), text(&task["result"]))
        });
        results.collect()
    }

    /// What the socket answers to a request without a body.
    pub async fn ask(&self, method: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stream = tokio::net::UnixStream::connect(&self.socket).await;
        let mut stream = stream.expect("connected");
        let asked = format!(
            "{method} /release HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

/// Asserts how the command ended, and that its words are among what it said.
pub fn assert_said(ended: &Ended, code: i32, words: &[&str]) {
    let said = format!("{}{}", ended.out, ended.err);
    assert_eq!(ended.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

async fn purge(inbox: &Inbox, queue: &str) {
    let purged = inbox
        .channel()
        .queue_purge(queue.into(), QueuePurgeOptions::default());
    purged.await.expect("purged");
}

#[rstest]
#[tokio::test]
async fn tasks_of_a_purged_queue_are_published_again_by_the_command_and_those_that_have_begun_are_not(
    #[values(Memory, File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let scene = Releasing::start(&world).await;
    world.schedule(PAYMENTS, 10);
    world.schedule(MAIL, 1);
    have_confirmed(&[&scene.bridge], 10).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let begun = inbox.next(PAYMENTS).await;
    inbox.reply(&begun, Answer::of("started", "")).await;
    eventually("the sign of life", || async {
        let alive = "replies_total{kind=\"alive\",route=\"payments\"";
        (scene.bridge.metric(alive).await == 1.0).then_some(())
    })
    .await;
    purge(&inbox, PAYMENTS).await;
    has_messages(&world, 0).await;

    let released = scene.release(&["--route", PAYMENTS]).await;
    let words = [
        "RESULT\n",
        "payments  published\n",
        "\n9 tasks published again\n",
        "\n1 task left alone: a worker has begun",
    ];
    assert_said(&released, 0, &words);
    let rows = released
        .out
        .lines()
        .filter(|row| row.contains(" published"));
    assert_eq!(rows.count(), 9 + 1, "{}", released.out);
    has_messages(&world, 9).await;
    let republished = "republished_total{route=\"payments\"";
    assert_eq!(scene.bridge.metric(republished).await, 9.0);
    let one = scene.release(&["--task", &begun.id()]).await;
    assert_said(&one, 1, &["payments  begun", "may still answer"]);

    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let other = world.worker(MAIL, |_| Answer::done("ok")).await;
    inbox.reply(&begun, Answer::done("ok").remove(0)).await;
    world.until("all completed", |s| s.completed == 11).await;
    scene.bridge.idle().await;
    world.assert_each_settled_once(11);
    let seen: HashSet<_> = worker.seen().iter().map(TaskMessage::id).collect();
    assert_eq!((seen.len(), worker.seen().len()), (9, 9), "each once");
    assert_eq!(other.seen().len(), 1, "another route is left alone");
}

/// A purge can't be seen, so the bridge takes the person's word for it.
#[tokio::test]
async fn a_task_that_was_not_lost_is_delivered_twice_with_one_id_and_ends_once() {
    let world = World::new().await.kept_in(File);
    let scene = Releasing::start(&world).await;
    world.schedule(PAYMENTS, 1);
    have_confirmed(&[&scene.bridge], 1).await;
    let released = scene.release(&["--route", PAYMENTS]).await;
    assert_said(&released, 0, &["1 task published again"]);
    has_messages(&world, 2).await;
    let worker = world
        .worker(PAYMENTS, |_| {
            let done = Answer::done("ok").remove(0);
            vec![Answer::of("started", ""), done]
        })
        .await;
    let seen = worker.has_seen(2).await;
    assert_eq!(seen[0].id(), seen[1].id());
    world.until("completed", |s| s.completed == 1).await;
    scene.bridge.idle().await;
    eventually("the late reply", || async {
        (scene.bridge.metric("late_replies_total").await >= 1.0).then_some(())
    })
    .await;
    world.assert_each_settled_once(1);
}
