//! Several processes with one Redis, each the broker of its own workers. A task has one owner at a time. Whatever a worker
//! says about a task settles it, whichever process hears it.

use super::client::{Client, PAYMENTS, ack};
use crate::{
    harness::{
        Answer, BridgeProcess, HOLD, Inbox, Redis, Route, TEST_TIMEOUT, TaskMessage, World,
        eventually, free_port,
    },
    replicas::beaten_by,
};
use activity_sim::{Schedule, TaskRecord, Timeouts};
use lapin::message::Delivery;
use std::{collections::HashSet, time::Duration};

const HEARTBEAT: Duration = Duration::from_secs(30);

/// Longer than the grace of an acknowledgement.
const A_WHILE: Duration = Duration::from_millis(500);

async fn world() -> World {
    World::of_the_endpoint(HOLD).await.kept_in(Redis)
}

/// A process, and where its workers connect to.
struct Replica {
    bridge: BridgeProcess,
    uri: String,
}

impl Replica {
    /// Its calls to AWS are signed with an access key of this name.
    async fn start(world: &World, name: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let env = [
            ("AWS_ACCESS_KEY_ID", name),
            ("ACTIVITY_BRIDGE_AMQP__LISTEN", &listen),
        ];
        let settings = format!(
            "ack_result = \"acknowledged\"\nmax_ready = 0\nheartbeat = {{ timeout_secs = {} }}",
            HEARTBEAT.as_secs()
        );
        let route = Route::new(PAYMENTS).plain_acks().with(&settings);
        let bridge = world.bridge_in(&env, "", &[route]).await;
        bridge.ready().await;
        Self {
            bridge,
            uri: format!("amqp://guest:guest@{listen}/%2f"),
        }
    }

    async fn worker(&self, prefetch: u16) -> Client {
        Client::consuming(&self.uri, prefetch).await
    }

    /// Waits until it has so many tasks.
    async fn has(&self, tasks: f64) {
        eventually(&format!("{tasks} tasks in flight"), || async {
            (self.bridge.metric("tasks_in_flight").await == tasks).then_some(())
        })
        .await;
    }
}

/// Schedules tasks with a heartbeat timeout.
fn schedule(world: &World, count: u32) -> Vec<String> {
    world.sim.schedule(Schedule {
        count,
        timeouts: Timeouts {
            heartbeat: Some(HEARTBEAT),
            ..Timeouts::default()
        },
        ..world.plain(PAYMENTS)
    })
}

/// The next deliveries.
async fn take(worker: &mut Client, count: usize) -> Vec<(TaskMessage, Delivery)> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(worker.next().await);
    }
    all
}

fn ids<'a>(tasks: impl IntoIterator<Item = &'a (TaskMessage, Delivery)>) -> HashSet<String> {
    tasks.into_iter().map(|(task, _)| task.id()).collect()
}

/// Waits until Redis has the note that a worker has begun for good: the message is gone.
async fn is_noted_as_released(world: &World, task: &TaskMessage) {
    let key = format!("{}:task:{{{}}}", world.prefix(), task.id());
    eventually("the note of a release", || async {
        let mut asked = redis::cmd("HEXISTS");
        let asked = asked.arg(&key).arg("message");
        let there: bool = asked
            .query_async(&mut world.redis().await)
            .await
            .expect("an answer");
        (!there).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_tasks_of_one_of_three_that_is_killed_go_to_workers_of_the_others_and_end_once() {
    let world = world().await;
    let mut killed = Replica::start(&world, "killed").await;
    let others = [
        Replica::start(&world, "one").await,
        Replica::start(&world, "two").await,
    ];
    let mut doomed = killed.worker(10).await;
    let mut workers = [others[0].worker(10).await, others[1].worker(10).await];
    schedule(&world, 30);
    // There is room for all of them, and for no more.
    let theirs = take(&mut doomed, 10).await;
    let own = [
        take(&mut workers[0], 10).await,
        take(&mut workers[1], 10).await,
    ];
    // A worker has begun with two of them for good.
    let begun = [&theirs[0], &theirs[5]];
    for (task, delivery) in begun {
        doomed.says(task, Answer::of("started", "")).await;
        ack(delivery).await;
        is_noted_as_released(&world, task).await;
    }
    killed.bridge.kill().await;
    for (_, delivery) in own.iter().flatten() {
        ack(delivery).await;
    }
    // Both have room again, so each task is delivered by whichever took it over.
    let mut again = Vec::new();
    while again.len() < 8 {
        let [one, two] = &mut workers;
        again.push(tokio::select! {
            next = one.next() => next,
            next = two.next() => next,
        });
    }
    for (task, delivery) in &again {
        assert!(task.redelivered);
        assert_eq!(task.header("x-delivery-count").as_deref(), Some("1"));
        ack(delivery).await;
    }
    let released = ids(begun);
    let unfinished = ids(&theirs).difference(&released).cloned().collect();
    assert_eq!(ids(&again), unfinished);
    // Its worker has found another process.
    let inbox = Inbox::connect(&others[1].uri).await;
    for (task, _) in begun {
        inbox.reply(task, Answer::of("completed", "late")).await;
    }
    world.until("all", |all| all.completed == 30).await;
    for other in &others {
        other.bridge.idle().await;
    }
    world.assert_each_settled_once(30);
    world.has_records(0).await;
}

#[tokio::test]
async fn a_reply_settles_its_task_at_a_process_that_does_not_have_it() {
    let world = world().await;
    let (owner, other) = (
        Replica::start(&world, "owner").await,
        Replica::start(&world, "other").await,
    );
    let mut worker = owner.worker(1).await;
    let id = schedule(&world, 1).remove(0);
    let (task, delivery) = worker.next().await;
    let mut speaker = other.worker(1).await;
    speaker
        .says(&task, Answer::of("completed", "said elsewhere"))
        .await;
    // The confirm means that AWS has it.
    assert_eq!(world.sim.summary().completed, 1);
    owner.bridge.idle().await;
    other.bridge.idle().await;
    ack(&delivery).await;
    // The acknowledgement was no error, and its credit is free: each of the two gets a task.
    schedule(&world, 2);
    for (_, delivery) in [worker.next().await, speaker.next().await] {
        ack(&delivery).await;
    }
    world.until("the next two", |all| all.completed == 3).await;
    let ended = world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("said elsewhere"));
    world.assert_each_settled_once(3);
}

#[tokio::test]
async fn a_sign_of_life_at_another_process_reaches_aws_and_makes_the_ack_a_release() {
    let world = world().await;
    let (owner, other) = (
        Replica::start(&world, "owner").await,
        Replica::start(&world, "other").await,
    );
    let mut worker = owner.worker(1).await;
    let id = schedule(&world, 1).remove(0);
    let (task, delivery) = worker.next().await;
    let speaker = other.worker(1).await;
    speaker.says(&task, Answer::of("heartbeat", "half")).await;
    let told = |task: &TaskRecord| {
        let newest = task.heartbeats.back();
        newest.is_some_and(|newest| newest.details.as_deref() == Some("half"))
    };
    let told = world.sim.wait_for_task(&id, TEST_TIMEOUT, told).await;
    assert_eq!(beaten_by(&told.expect("a heartbeat")), Some("owner"));
    ack(&delivery).await;
    owner.bridge.logged("without a final reply").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.sim.summary().completed, 0);
    speaker.says(&task, Answer::of("completed", "done")).await;
    let ended = world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("done"));
    world.assert_each_settled_once(1);
}

/// Where the new owner has the task at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Queue,
    Worker,
}

#[rstest::rstest]
#[tokio::test]
async fn an_acknowledgement_completes_a_task_that_another_process_took_over_meanwhile(
    #[values(At::Queue, At::Worker)] at: At,
) {
    let world = world().await;
    let frozen = Replica::start(&world, "frozen").await;
    let mut holder = frozen.worker(1).await;
    let id = schedule(&world, 1).remove(0);
    let (task, delivery) = holder.next().await;
    let other = Replica::start(&world, "other").await;
    frozen.bridge.signal("STOP");
    other.has(1.0).await;
    let mut second = None;
    if at == At::Worker {
        let mut worker = other.worker(1).await;
        let (again, delivery) = worker.next().await;
        assert_eq!((again.id(), again.redelivered), (task.id(), true));
        second = Some((worker, delivery));
    }
    frozen.bridge.signal("CONT");
    // From here on it knows that the task is another's.
    frozen.has(0.0).await;
    ack(&delivery).await;
    let ended = world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("acknowledged"));
    frozen.bridge.idle().await;
    other.bridge.idle().await;
    let mut worker = match second {
        // It did the work for nothing. Its acknowledgement is no error.
        Some((worker, delivery)) => {
            ack(&delivery).await;
            worker
        }
        None => other.worker(1).await,
    };
    assert!(worker.gets_nothing(A_WHILE).await);
    world.assert_each_settled_once(1);
    world.has_records(0).await;
    // Both go on: each of the two gets a task.
    schedule(&world, 2);
    for (_, delivery) in [holder.next().await, worker.next().await] {
        ack(&delivery).await;
    }
    world.until("the next two", |all| all.completed == 3).await;
}
