//! A pod, from its start to its end. The bridge and the worker are processes, and the test does what the kubelet does.

mod kubelet;
mod worker;

use crate::harness::{BridgeProcess, Route, World, command, eventually, free_port, http};
use activity_sim::{TaskRecord, TaskState};
use futures_util::FutureExt;
use kubelet::{Container, Deleted, Pod};
use std::{os::unix::process::ExitStatusExt, path::Path, process::ExitStatus, time::Duration};
use tokio::{process::Child, time::sleep};

const PAYMENTS: &str = "payments";

/// How long a worker takes that does its work.
const WORK: Duration = Duration::from_millis(20);

/// The reason of a task that a shutdown fails back.
const SHUT_DOWN: &str = "activity-bridge was shut down before the worker replied";

/// A pod whose containers run: the bridge and another sidecar, which were started before the worker.
struct Running<'w> {
    world: &'w World,
    admin: String,
    settings: String,
    bridge: BridgeProcess,
    other: Child,
    worker: Child,
}

impl<'w> Running<'w> {
    /// Starts the containers in the order of a pod with sidecars: each after the startup probe of the one before.
    ///
    /// The bridge has no other settings for its end than this grace period. `work`: how long the worker takes for a task.
    async fn start(world: &'w World, grace_secs: u64, work: Duration) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let settings = format!("[shutdown]\ngrace_secs = {grace_secs}");
        let env = [("ACTIVITY_BRIDGE_ADMIN__LISTEN", admin.as_str())];
        let bridge = world
            .bridge_in(&env, &settings, &[Route::new(PAYMENTS)])
            .await;
        eventually("the startup probe of the bridge", || async {
            (bridge.get("/started").await.0 == 200).then_some(())
        })
        .await;
        let mut other = tokio::process::Command::new("sleep");
        let other = other.arg("3600").kill_on_drop(true).spawn();
        let worker = worker::spawn(&world.amqp_uri, PAYMENTS, work);
        bridge.route_is(PAYMENTS, "polling").await;
        Self {
            world,
            admin,
            settings,
            bridge,
            other: other.expect("it starts"),
            worker,
        }
    }

    /// The command of the bridge's preStop hook.
    fn drain(&self) -> tokio::process::Command {
        let routes = [Route::new(PAYMENTS)];
        let config = self.world.write_config(&self.settings, &routes);
        let mut drain = command();
        drain.args(["drain", "--config"]).arg(config);
        drain.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", &self.admin);
        drain
    }

    /// Deletes the pod. Tasks come all the time, as `feed` says.
    async fn delete(&mut self, hooks: bool, feed: impl Future<Output = ()>) -> Deleted {
        let mut drain = self.drain();
        let url = format!("http://{}/drained", self.admin);
        let exec = async move {
            let ended = drain.output().await.expect("it runs");
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            assert!(ended.status.success(), "{said} {ended:?}");
            assert!(said.contains("nothing is in flight"), "{said}");
        };
        let http_get = async move {
            let answer = http().get(url).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 200);
        };
        let container = |name, pid: Option<u32>| Container::new(name, pid.expect("it runs"));
        let status = |waited: std::io::Result<ExitStatus>| waited.expect("a status");
        let mut worker =
            container("worker", self.worker.id()).ended_by(self.worker.wait().map(status));
        let other = container("other", self.other.id()).ended_by(self.other.wait().map(status));
        let mut bridge = container("bridge", Some(self.bridge.pid())).ended_by(self.bridge.ended());
        if hooks {
            bridge = bridge.stopped_after(exec);
            worker = worker.stopped_after(http_get);
        }
        let pod = Pod {
            sidecars: vec![bridge, other],
            main: vec![worker],
        };
        let feeding = async {
            feed.await;
            std::future::pending().await
        };
        tokio::select! {
            deleted = pod.delete() => deleted,
            never = feeding => never,
        }
    }

    /// The tasks that were handed out.
    fn handed_out(&self) -> Vec<TaskRecord> {
        let tasks = self.world.sim.tasks().into_iter();
        let tasks = tasks.filter(|task| task.state != TaskState::Scheduled);
        tasks.collect()
    }
}

/// Tasks come as long as this lasts, about as fast as the worker does them.
async fn feed(world: &World) {
    loop {
        world.schedule(PAYMENTS, 1);
        sleep(WORK).await;
    }
}

/// The whole way: the bridge stops polling while the worker consumes, the worker ends when nothing is in flight, and then the bridge
/// has nothing to do.
#[tokio::test]
async fn with_the_hooks_a_pod_that_is_deleted_under_load_loses_no_task_and_delivers_none_to_nobody()
{
    const GRACE: u64 = 60;
    let world = World::with_hold(Duration::from_secs(4)).await;
    let mut pod = Running::start(&world, GRACE, WORK).await;
    tokio::select! {
        () = feed(&world) => {}
        _ = world.until("some tasks", |s| s.completed >= 10) => {}
    }
    let deleted = pod.delete(true, feed(&world)).await;

    deleted.assert_order(&[
        "worker: SIGTERM",
        "worker: ended",
        "other: SIGTERM",
        "other: ended",
        "bridge: SIGTERM",
        "bridge: ended",
    ]);
    deleted.assert_order(&["bridge: hook ended", "bridge: SIGTERM"]);
    deleted.assert_order(&["worker: hook ended", "worker: SIGTERM"]);
    assert_eq!(deleted.status("bridge").code(), Some(0));
    assert_eq!(
        deleted.status("worker").signal(),
        Some(15),
        "it has no handler"
    );
    assert!(
        deleted.took < Duration::from_secs(GRACE),
        "{:?}",
        deleted.took
    );
    let handed_out = pod.handed_out();
    assert!(handed_out.len() >= 10, "{}", handed_out.len());
    for task in &handed_out {
        assert_eq!(task.state, TaskState::Completed, "{task:?}");
        assert_eq!((task.settle_calls, task.late_calls), (1, 0), "{task:?}");
        assert!(!task.abandoned_poll, "{task:?}");
    }
    // The others wait at AWS, for another pod.
    let waiting = world.sim.tasks().len() - handed_out.len();
    assert!(waiting > 0, "tasks came to the end");
    assert_eq!(world.sim.summary().open_polls, 0);
    let log = pod.bridge.log();
    let (_, last) = log.split_once("SIGTERM: shutting down").expect("a signal");
    assert!(!last.contains("waiting for the tasks in flight"), "{last}");
}

/// What that costs: tasks in the worker's hands, and those that an open poll brings when it has gone, are failed back, and the
/// end takes the grace period.
#[tokio::test]
async fn without_the_hooks_tasks_are_failed_back_and_the_end_takes_the_grace_period() {
    const GRACE: u64 = 20;
    const IN_HAND: u64 = 4;
    let world = World::with_hold(Duration::from_secs(8)).await;
    let mut pod = Running::start(&world, GRACE, Duration::from_secs(3_600)).await;
    world.schedule(PAYMENTS, IN_HAND as u32);
    world
        .until("tasks in hand, and a poll for more", |s| {
            s.polled == IN_HAND && s.open_polls > 0
        })
        .await;
    // The worker is the first to get its signal, and does not handle it. Its tasks go back to the queue.
    let worker = pod.worker.id().expect("it runs");
    // A process that has ended has no open files.
    let files = format!("/proc/{worker}/fd/0");
    let feed = async {
        let gone = || async { (!Path::new(&files).exists()).then_some(()) };
        eventually("the end of the worker", gone).await;
        world.schedule(PAYMENTS, 1);
    };
    let deleted = pod.delete(false, feed).await;

    deleted.assert_order(&[
        "worker: SIGTERM",
        "worker: ended",
        "other: SIGTERM",
        "other: ended",
        "bridge: SIGTERM",
        "bridge: ended",
    ]);
    assert_eq!(
        deleted.status("bridge").code(),
        Some(0),
        "it says so to AWS"
    );
    // Four fifths of it pass before anything is failed back.
    assert!(
        deleted.took >= Duration::from_secs(GRACE * 4 / 5),
        "{:?}",
        deleted.took
    );
    let handed_out = pod.handed_out();
    assert!(handed_out.len() as u64 >= IN_HAND, "{}", handed_out.len());
    for task in &handed_out {
        assert_eq!(task.state, TaskState::Failed, "{task:?}");
        assert_eq!(task.reason.as_deref(), Some(SHUT_DOWN));
    }
}
