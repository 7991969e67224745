//! A user of the broker with restricted permissions.

use crate::harness::{Answer, DOMAIN, HOLD, Inbox, Route, Scene, World, eventually, http, put};
use activity_sim::{Schedule, TaskState};
use lapin::{
    options::{BasicGetOptions, BasicRejectOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use serde_json::{Value, json};

/// The same virtual host, as a user who may write everywhere but to what matches.
pub async fn limited(world: &World, forbidden: &str) -> String {
    user(world, [".*", &format!("^(?!{forbidden}).*$"), ".*"]).await
}

fn api() -> String {
    std::env::var("RABBITMQ_API").expect("the harness has looked already")
}

/// The same virtual host, as a user who may configure, write and read what matches.
async fn user(world: &World, [configure, write, read]: [&str; 3]) -> String {
    let (api, vhost) = (api(), world.vhost());
    let user = format!("limited-{vhost}");
    let login = json!({"password": "secret", "tags": ""});
    let permissions = json!({"configure": configure, "write": write, "read": read});
    put(&format!("{api}/api/users/{user}"), &login).await;
    put(
        &format!("{api}/api/permissions/{vhost}/{user}"),
        &permissions,
    )
    .await;
    let (_, server) = world.amqp_uri.split_once('@').expect("a URI with a login");
    format!("amqp://{user}:secret@{server}")
}

#[tokio::test]
async fn a_cancel_that_may_not_be_announced_leaves_the_tasks_and_their_connection_alone() {
    let world = World::new().await;
    let uri = limited(&world, "activity-bridge\\.control").await;
    let behind = World::at(uri, HOLD).await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = behind.bridge(&[Route::new("payments")]).await;
    let ids = behind.sim.schedule(Schedule {
        request_cancel: true,
        ..Schedule::new(DOMAIN, "payments")
    });
    let task = worker.has_seen(1).await.remove(0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::of("heartbeat", "")).await;
    bridge.logged("could not announce a cancel").await;

    inbox.reply(&task, Answer::of("canceled", "stopped")).await;
    assert_eq!(behind.closed(&ids[0]).await.state, TaskState::Canceled);
    assert!(!bridge.log().contains("no connection to the broker"));
}

#[tokio::test]
async fn a_task_that_may_not_be_published_is_failed_back_to_aws_with_the_brokers_words() {
    let world = World::new().await;
    let uri = limited(&world, "amq\\.default").await;
    let behind = World::at(uri, HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("never")).await;
    let route =
        Route::new("payments").with("publish_within_secs = 12\nheartbeat = { discover = false }");
    let bridge = behind.bridge(&[route]).await;
    let id = behind.schedule("payments", 1).remove(0);
    let task = behind.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    let details = task.details.unwrap_or_default();
    assert!(details.contains("ACCESS_REFUSED"), "{details}");
    assert!(bridge.metric("publishes_total{outcome=\"refused\"").await >= 1.0);
}

/// What the operations guide tells an operator to type and to import.
struct Documented {
    text: String,
}

impl Documented {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        Self {
            text: std::fs::read_to_string(path).expect("the operations guide"),
        }
    }

    /// The three patterns of the user `bridge` or `worker`, by the order of the commands.
    fn permissions(&self, of: &str, index: usize) -> [&str; 3] {
        let command = format!("rabbitmqctl set_permissions {of} ");
        let mut commands = self.text.split(command.as_str()).skip(1);
        let command = commands.nth(index).expect("a command");
        let mut quoted = command.split('\'').skip(1).step_by(2);
        [(); 3].map(|()| quoted.next().expect("three patterns"))
    }

    /// Exchange, *write* and *read* of the topic permission of the user `worker`.
    fn topic_permissions(&self) -> [&str; 3] {
        let (_, command) = self
            .text
            .split_once("rabbitmqctl set_topic_permissions worker ")
            .expect("a command");
        let line = command.lines().next().expect("a line");
        let mut words = line.split(' ').map(|word| word.trim_matches('\''));
        [(); 3].map(|()| words.next().expect("three words"))
    }

    /// Makes the exchanges, queues and bindings in a virtual host.
    async fn import(&self, vhost: &str) {
        let blocks = self.text.split("```json\n").skip(1);
        let mut blocks = blocks.filter_map(|block| block.split("```").next());
        let definitions = blocks.find(|block| block.contains("\"bindings\""));
        let definitions = definitions.expect("definitions");
        let definitions: Value = serde_json::from_str(definitions).expect("JSON");
        for kind in ["exchanges", "queues"] {
            for thing in definitions[kind].as_array().expect("a list") {
                let name = thing["name"].as_str().expect("a name");
                put(&format!("{}/api/{kind}/{vhost}/{name}", api()), thing).await;
            }
        }
        for binding in definitions["bindings"].as_array().expect("a list") {
            let [from, to] = ["source", "destination"].map(|end| binding[end].as_str());
            let (from, to) = (from.expect("an exchange"), to.expect("a queue"));
            let url = format!("{}/api/bindings/{vhost}/e/{from}/q/{to}", api());
            let answer = http().post(url).json(binding).send().await;
            assert!(
                answer.expect("an answer").status().is_success(),
                "{binding}"
            );
        }
    }
}

/// A task is completed, another comes back as a dead letter, and one of no process is parked.
async fn everything_works(world: &World, behind: &World, settings: &str) {
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = behind.bridge(&[route.with(settings)]).await;
    bridge.route_is("payments", "polling").await;
    let id = behind.schedule("payments", 1).remove(0);
    let task = inbox.next("payments").await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(behind.closed(&id).await.state, TaskState::Completed);

    let id = behind.schedule("payments", 1).remove(0);
    reject(&inbox).await;
    let task = behind.closed(&id).await;
    assert_eq!(task.reason.as_deref(), Some("rejected by a worker"));

    let (_, task) = (behind.schedule("payments", 1), inbox.next("payments").await);
    let unusable = Answer::of("no such type", "");
    inbox.reply(&task, unusable).await;
    let parked = inbox.next("activity-bridge.parked").await;
    assert_eq!(parked.id(), task.id());
    bridge.idle().await;

    let answer = Answer {
        to: Some("payments"),
        ..Answer::of("charge", "").header("reply-queue", "of nobody")
    };
    inbox.reply(&task, answer).await;
    reject(&inbox).await;
    let parked = inbox.next("activity-bridge.parked").await;
    assert_eq!(parked.header("reply-queue").as_deref(), Some("of nobody"));
    assert!(!bridge.log().contains("no connection to the broker"));
}

async fn reject(inbox: &Inbox) {
    let task = eventually("a task", || async {
        let options = BasicGetOptions { no_ack: false };
        let got = inbox.channel().basic_get("payments".into(), options).await;
        got.expect("the queue can be read")
    })
    .await;
    let options = BasicRejectOptions { requeue: false };
    task.reject(options).await.expect("rejected");
}

#[tokio::test]
async fn the_documented_permissions_are_enough_for_a_bridge_that_declares_everything() {
    let world = World::new().await;
    let documented = Documented::read();
    let uri = user(&world, documented.permissions("bridge", 0)).await;
    let behind = World::at(uri, HOLD).await;
    everything_works(&world, &behind, "").await;
}

#[tokio::test]
async fn the_documented_permissions_are_enough_where_an_operator_makes_everything() {
    let world = World::new().await;
    let documented = Documented::read();
    documented.import(world.vhost()).await;
    let uri = user(&world, documented.permissions("bridge", 1)).await;
    let behind = World::at(uri, HOLD).await;
    everything_works(&world, &behind, "declare = false").await;
}

/// It reads its queue, writes to `activity-bridge.replies`, and can do nothing else.
#[tokio::test]
async fn the_documented_permissions_are_enough_for_a_worker() {
    let world = World::new().await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    let documented = Documented::read();
    let uri = user(&world, documented.permissions("worker", 0)).await;
    let worker = Inbox::connect(&uri).await;
    let id = world.schedule("payments", 1).remove(0);
    let task = worker.next("payments").await;
    let answer = Answer {
        exchange: "activity-bridge.replies",
        ..Answer::of("completed", "ok")
    };
    worker.reply(&task, answer).await;
    assert_eq!(world.closed(&id).await.result.as_deref(), Some("ok"));
}

#[tokio::test]
async fn the_documented_permissions_are_enough_for_a_worker_that_hears_of_cancels() {
    let scene = Scene::new().await;
    let documented = Documented::read();
    let uri = user(&scene.world, documented.permissions("worker", 1)).await;
    let worker = Inbox::connect(&uri).await;
    let schedule = Schedule {
        request_cancel: true,
        ..scene.plain()
    };
    let (id, task) = scene.task(schedule).await;
    let channel = worker.channel();
    let exclusive = QueueDeclareOptions::exclusive();
    let declared = channel.queue_declare("worker.1".into(), exclusive, FieldTable::default());
    declared.await.expect("a queue");
    let bound = channel.queue_bind(
        "worker.1".into(),
        "activity-bridge.control".into(),
        task.id().into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.expect("a binding");
    let through = |kind| Answer {
        exchange: "activity-bridge.replies",
        ..Answer::of(kind, "")
    };
    worker.reply(&task, through("heartbeat")).await;
    assert_eq!(worker.next("worker.1").await.body, "cancel-requested");
    worker.reply(&task, through("canceled")).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Canceled);
}

/// Binds a queue of the worker's to the control exchange. True if the broker lets it.
async fn may_bind(uri: &str, key: &str) -> bool {
    let worker = Inbox::connect(uri).await;
    let channel = worker.channel();
    let exclusive = QueueDeclareOptions::exclusive();
    let declared = channel.queue_declare("worker.1".into(), exclusive, FieldTable::default());
    declared.await.expect("a queue");
    let bound = channel.queue_bind(
        "worker.1".into(),
        "activity-bridge.control".into(),
        key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.is_ok()
}

/// With the documented topic permission, a worker hears of the tasks whose ids it knows, and of no others.
#[tokio::test]
async fn the_documented_topic_permission_lets_a_worker_bind_for_one_task_at_a_time() {
    let scene = Scene::new().await;
    let documented = Documented::read();
    let uri = user(&scene.world, documented.permissions("worker", 1)).await;
    let (_, task) = scene.task(scene.plain()).await;
    let id = task.id();
    assert!(may_bind(&uri, "#").await, "nothing forbids it yet");
    let [exchange, write, read] = documented.topic_permissions();
    let (api, vhost) = (api(), scene.world.vhost());
    let permission = json!({"exchange": exchange, "write": write, "read": read});
    let url = format!("{api}/api/topic-permissions/{vhost}/limited-{vhost}");
    put(&url, &permission).await;
    assert!(may_bind(&uri, &id).await);
    for key in ["#", "*", &id[..31]] {
        assert!(!may_bind(&uri, key).await, "{key}");
    }
}
