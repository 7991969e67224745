//! Crashes with a store that outlives the process: no recorded task is lost.
//!
//! The tasks of these tests have inputs of their own, by which the simulator's record and what the workers saw are laid
//! beside each other. The simulator closes a task once, whatever is sent for it afterwards, as AWS does.

mod points;
mod recovery;
mod replies;
mod shutdown;

use crate::harness::{
    Answer, BridgeProcess, Inbox, Route, Source, Store, TaskMessage, Worker, World,
    all_acknowledged,
};
use activity_sim::{Schedule, TaskRecord, TaskState, Timeouts};
use lapin::BasicProperties;
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

/// The name of the route, its queue and its task list or activity.
pub const PAYMENTS: &str = "payments";

/// A heartbeat timeout: time enough for another process to have the tasks.
pub const HEARTBEAT: Duration = Duration::from_secs(60);

/// The route, which says this heartbeat timeout.
pub fn route(heartbeat: Duration, settings: &str) -> Route {
    let secs = heartbeat.as_secs();
    Route::new(PAYMENTS).with(&format!(
        "heartbeat = {{ timeout_secs = {secs} }}\n{settings}"
    ))
}

/// Schedules tasks with the inputs `{"n":FROM}` and on, and this heartbeat timeout.
pub fn schedule(world: &World, numbers: std::ops::Range<u32>, heartbeat: Duration) {
    for n in numbers {
        world.sim.schedule(Schedule {
            input: Some(format!("{{\"n\":{n}}}")),
            timeouts: Timeouts {
                heartbeat: Some(heartbeat),
                ..Timeouts::default()
            },
            ..world.plain(PAYMENTS)
        });
    }
}

/// The number of a task, from its input.
pub fn number(input: &str) -> u32 {
    let input: serde_json::Value = serde_json::from_str(input).expect("an input of ours");
    let number = input["n"].as_u64().and_then(|n| u32::try_from(n).ok());
    number.expect("a number")
}

/// What the worker answers to this input.
pub fn result(input: &str) -> String {
    format!("done {input}")
}

/// The final reply to a task.
pub fn done(task: &TaskMessage) -> Answer {
    Answer::done(&result(&task.body)).remove(0)
}

/// The ids of the tasks that a bridge says it has recorded, as far as the log shows them.
pub fn recorded(log: &str) -> HashSet<String> {
    let lines = log.lines().filter(|line| line.contains(" recorded "));
    let ids = lines.filter_map(|line| line.split_once("task=")?.1.split_whitespace().next());
    ids.map(str::to_owned).collect()
}

/// What became of the tasks, after all of them have ended.
#[derive(Debug)]
pub struct Toll {
    /// Completed with what the worker said.
    pub completed: usize,
    /// Of polls of a process that had died when AWS answered them: AWS timed the tasks out.
    pub unreached: usize,
    /// Of polls of a process that died after AWS had answered them, and before it had recorded them: likewise.
    pub lost_before_record: usize,
}

impl Toll {
    /// Asserts that each task ended once, and that none was lost which was recorded by any of the processes that wrote
    /// these logs. What a worker saw was recorded, and what was recorded a worker saw.
    pub fn of(world: &World, seen: &[TaskMessage], logs: &[String]) -> Self {
        let seen = seen.iter().map(|task| (task.id(), task.body.as_str()));
        Self::where_each(world, seen, logs, |task, input| {
            assert_completed(world.source, task, input);
        })
    }

    /// The same of tasks that a worker saw, by id and input, and that ended as `ended` asserts.
    pub fn where_each<'a>(
        world: &World,
        seen: impl Iterator<Item = (String, &'a str)>,
        logs: &[String],
        ended: impl Fn(&TaskRecord, &str),
    ) -> Self {
        let logged = |id: String| id[..8].to_owned();
        let seen = seen.map(|(id, input)| (logged(id), input));
        let (ids, inputs): (HashSet<_>, HashSet<_>) = seen.unzip();
        let recorded: HashSet<_> = logs.iter().flat_map(|log| recorded(log)).collect();
        let unseen: Vec<_> = recorded.difference(&ids).collect();
        assert!(
            unseen.is_empty(),
            "recorded, and no worker saw them: {unseen:?}"
        );
        let mut toll = Self {
            completed: 0,
            unreached: 0,
            lost_before_record: 0,
        };
        for task in world.sim.tasks() {
            let input = task.input.as_deref().expect("an input");
            if inputs.contains(input) {
                ended(&task, input);
                toll.completed += 1;
                continue;
            }
            assert_eq!(task.state, TaskState::TimedOut, "{task:?}");
            assert_eq!(task.settle_calls, 0, "{task:?}");
            match task.abandoned_poll {
                true => toll.unreached += 1,
                false => toll.lost_before_record += 1,
            }
        }
        // A process may die between the record and the line about it.
        let at_most = world.sim.summary().polled as usize - recorded.len();
        assert!(toll.never_recorded() <= at_most, "{toll:?}, {at_most}");
        toll
    }

    /// Left to AWS: at most four for each poller of a route and each crash.
    pub fn never_recorded(&self) -> usize {
        self.unreached + self.lost_before_record
    }
}

fn assert_completed(source: Source, task: &TaskRecord, input: &str) {
    assert_eq!(task.state, TaskState::Completed, "{task:?}");
    assert_eq!(task.result, Some(source.result(&result(input))), "{task:?}");
}

/// Asserts that all deliveries of a task are of the same message, but for the count of its deliveries.
pub fn assert_same_messages(seen: &[TaskMessage]) {
    let mut first = HashMap::new();
    for task in seen {
        let properties = without_count(task);
        let first = first.entry(task.body.as_str());
        let first = first.or_insert_with(|| properties.clone());
        assert_eq!(*first, properties);
    }
}

fn without_count(task: &TaskMessage) -> BasicProperties {
    let headers = task.properties.headers().as_ref();
    let mut headers = headers.expect("headers").inner().clone();
    headers.remove("x-delivery-count");
    task.properties.clone().with_headers(headers.into())
}

/// One route, a worker that says that it has begun and no more, and a bridge with a store.
pub struct Place {
    /// Simulator, virtual host and store.
    pub world: World,
    /// It replies `started` if it was told to, else nothing.
    pub worker: Worker,
    /// What replies.
    pub inbox: Inbox,
    heartbeat: Duration,
    settings: &'static str,
}

impl Place {
    /// With this store and heartbeat timeout.
    pub async fn new(store: Store, heartbeat: Duration) -> Self {
        Self::with(store, heartbeat, "").await
    }

    /// With more settings of the route.
    pub async fn with(store: Store, heartbeat: Duration, settings: &'static str) -> Self {
        let world = World::new().await.kept_in(store);
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        let inbox = Inbox::connect(&world.amqp_uri).await;
        Self {
            world,
            worker,
            inbox,
            heartbeat,
            settings,
        }
    }

    /// The route.
    pub fn route(&self) -> Route {
        route(self.heartbeat, self.settings)
    }

    /// Starts a bridge, the first or another, and waits until it is ready.
    pub async fn bridge(&self) -> BridgeProcess {
        let bridge = self.world.bridge(&[self.route()]).await;
        bridge.ready().await;
        bridge
    }

    /// Schedules so many tasks, and waits until the worker has their messages.
    pub async fn tasks(&self, count: u32) -> Vec<TaskMessage> {
        schedule(&self.world, 0..count, self.heartbeat);
        self.worker.has_seen(count as usize).await
    }

    /// Waits until the bridge has nothing to do any more, then asserts that every reply was acknowledged and none parked.
    pub async fn is_settled(&self, bridge: &BridgeProcess) {
        bridge.idle().await;
        let seen = self.worker.seen();
        let reply_to = seen.first().expect("a task").reply_to();
        all_acknowledged(&self.world, &self.inbox, &reply_to).await;
        assert_none_parked(&self.inbox).await;
    }
}

/// Sends the final reply to each task, once.
pub struct Hand {
    inbox: Inbox,
    replied: Mutex<HashSet<String>>,
}

impl Hand {
    /// At the broker of this world.
    pub async fn of(world: &World) -> Self {
        Self {
            inbox: Inbox::connect(&world.amqp_uri).await,
            replied: Mutex::default(),
        }
    }

    /// Replies to those of these tasks to which it has not replied yet.
    pub async fn end(&self, tasks: impl IntoIterator<Item = TaskMessage>) {
        for task in tasks {
            if self
                .replied
                .lock()
                .expect("no panic holds it")
                .insert(task.id())
            {
                self.inbox.reply(&task, done(&task)).await;
            }
        }
    }
}

/// Asserts that nothing was parked.
pub async fn assert_none_parked(inbox: &Inbox) {
    let parked = inbox.get("activity-bridge.parked").await;
    assert!(parked.is_none(), "{parked:?}");
}
