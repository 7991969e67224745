//! A token store that is unavailable: frozen, slow, full or cut off. No task is published without a record, no new task
//! is polled, and the tasks in flight go on.

mod away;
mod disk;
mod shared;
mod start;
mod unreadable;

use crate::{
    crash::{PAYMENTS, assert_none_parked, done, route, schedule},
    harness::{BridgeProcess, Inbox, TaskMessage, Worker, World, all_acknowledged, eventually},
};
use activity_sim::{TaskRecord, TaskState};
use std::time::Duration;

/// A heartbeat timeout that passes twice while the store is away.
const T: Duration = Duration::from_secs(8);
/// In flight when the trouble begins.
const BEFORE: u32 = 20;
/// Scheduled when it has begun: more than are polled before the route knows.
const MORE: u32 = 20;
/// Scheduled after that.
const LATER: u32 = 20;
/// At most so many polls are open at once.
const POLLS: usize = 4;
/// As the bridge bounds it: open polls and unrecorded tasks, four for each poller.
const UNPERSISTED: usize = 4 * POLLS;
/// All of them.
const COUNT: u32 = BEFORE + MORE + LATER;

/// Tasks that wait with a worker that says nothing, in a store that gets into trouble.
struct StoreOutage {
    world: World,
    worker: Worker,
    inbox: Inbox,
    bridge: BridgeProcess,
}

impl StoreOutage {
    /// With some tasks in flight.
    async fn with(world: World, settings: &str) -> Self {
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        let settings = format!("pollers = {{ min = 2, max = {POLLS} }}\n{settings}");
        let bridge = world.bridge(&[route(T, &settings)]).await;
        schedule(&world, 0..BEFORE, T);
        worker.has_seen(BEFORE as usize).await;
        let inbox = Inbox::connect(&world.amqp_uri).await;
        Self {
            world,
            worker,
            inbox,
            bridge,
        }
    }

    /// Schedules more and waits until polling has stopped, of which `/readyz` says why. The answer says how many were
    /// polled, and could not be recorded.
    async fn begins(&self) -> u64 {
        schedule(&self.world, BEFORE..BEFORE + MORE, T);
        self.bridge
            .route_is(PAYMENTS, "the token store is away")
            .await;
        // A route looks at the store once a second, and on a busy machine the store may have been late once before.
        eventually("/readyz naming the store", || async {
            let (status, body) = self.bridge.get("/readyz").await;
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            (status == 503 && body["store"] != "ok").then_some(())
        })
        .await;
        self.world
            .until("no open polls", |s| s.open_polls == 0)
            .await;
        schedule(&self.world, BEFORE + MORE..COUNT, T);
        let polled = self.world.sim.summary().polled - u64::from(BEFORE);
        assert!((1..=UNPERSISTED as u64).contains(&polled), "{polled}");
        polled
    }

    /// Waits until each task that was polled got heartbeats for longer than its timeout, then asserts that nothing was
    /// published meanwhile.
    async fn goes_on(&self) {
        let polled = |task: &TaskRecord| task.started_ms.is_some();
        let beats = || -> Vec<_> {
            let tasks = self.world.sim.tasks().into_iter().filter(polled);
            let open = tasks.filter(|task| task.state.is_open());
            open.map(|task| task.heartbeat_count).collect()
        };
        let (before, known) = (beats(), self.world.sim.summary().polled);
        eventually("heartbeats for all", || async {
            let now = beats();
            assert_eq!(before.len(), now.len(), "some have ended");
            let mut both = before.iter().zip(&now);
            both.all(|(before, now)| *now >= before + 4).then_some(())
        })
        .await;
        let seen = self.worker.seen().len();
        assert_eq!(seen, BEFORE as usize, "published, not recorded");
        let polled = self.world.sim.summary().polled;
        assert_eq!(polled, known, "polled meanwhile");
    }

    /// Replies to these tasks.
    async fn reply(&self, tasks: &[TaskMessage]) {
        for task in tasks {
            self.inbox.reply(task, done(task)).await;
        }
    }

    /// The trouble is over: all tasks come to the worker and end, each once.
    async fn is_over(&self, replied: usize) {
        self.bridge.route_is(PAYMENTS, "polling").await;
        let seen = self.worker.has_seen(COUNT as usize).await;
        self.reply(&seen[replied..]).await;
        let all = u64::from(COUNT);
        self.world.until("all", |s| s.completed == all).await;
        self.bridge.idle().await;
        all_acknowledged(&self.world, &self.inbox, &seen[0].reply_to()).await;
        assert_none_parked(&self.inbox).await;
        self.world.assert_each_settled_once(COUNT as usize);
        self.bridge.ready().await;
    }
}

/// Tasks that were polled just before the trouble and can't be recorded are given up by the bridge in time.
async fn are_failed_back(outage: &StoreOutage, polled: u64) {
    let failed = |s: &activity_sim::Summary| s.failed == polled;
    let world = &outage.world;
    world.until("failed back", failed).await;
    let tasks = world.sim.tasks().into_iter();
    for task in tasks.filter(|task| task.state == TaskState::Failed) {
        let words = task.reason.unwrap_or_default();
        assert!(words.contains("could not hand it to"), "{words}");
    }
    let seen = outage.worker.seen().len();
    assert_eq!(seen, BEFORE as usize, "published, not recorded");
}
