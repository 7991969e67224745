//! Panics, each of which would be a bug. One over a message costs that message; one in a loop ends the process.

use crate::{
    crash::{HEARTBEAT, PAYMENTS, route},
    harness::{
        Answer, BridgeProcess, File, Inbox, Redis, Store, Swf, TEST_TIMEOUT, TaskMessage, Worker,
        World, all_acknowledged, command, eventually,
    },
};
use activity_sim::{Schedule, TaskRecord, TaskState};
use lapin::options::{BasicGetOptions, BasicRejectOptions};
use rstest::rstest;
use std::process::Stdio;
use tokio::time::timeout;

const PARKED: &str = "activity-bridge.parked";
const BECAUSE: &str = "handling it panicked; this is a bug of activity-bridge";

/// Each process of this place panics over each text with `poison` that comes by a point.
struct Place {
    world: World,
    worker: Worker,
    inbox: Inbox,
    over: String,
}

impl Place {
    async fn new(point: &str, store: Store) -> (Self, BridgeProcess) {
        let world = World::new().await.kept_in(store);
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        let over = format!("{point}:poison");
        let bridge = Self::bridge(&world, &over).await;
        let place = Self {
            worker,
            inbox: Inbox::connect(&world.amqp_uri).await,
            world,
            over,
        };
        (place, bridge)
    }

    async fn bridge(world: &World, over: &str) -> BridgeProcess {
        let env = [("ACTIVITY_BRIDGE_PANIC_OVER", over)];
        // With one slot nothing goes on where a slot is not freed.
        let one = [route(HEARTBEAT, "max_in_flight = 1")];
        let bridge = world.bridge_in(&env, "", &one).await;
        bridge.ready().await;
        bridge
    }

    fn schedule(&self, input: &str) -> String {
        let schedule = Schedule {
            input: Some(input.to_owned()),
            ..self.world.plain(PAYMENTS)
        };
        self.world.sim.schedule(schedule).remove(0)
    }

    /// Schedules a task with this input and waits for its message.
    async fn task(&self, input: &str) -> (String, TaskMessage) {
        let id = self.schedule(input);
        let message = eventually("the task's message", || async {
            let mut seen = self.worker.seen().into_iter();
            seen.find(|task| task.body == input)
        });
        (id, message.await)
    }

    /// Another task ends as its worker says.
    async fn goes_on(&self, input: &str) {
        let (id, task) = self.task(input).await;
        self.inbox
            .reply(&task, Answer::done("fine").remove(0))
            .await;
        assert_eq!(self.world.closed(&id).await.state, TaskState::Completed);
    }

    async fn is_parked(&self, task: &TaskMessage, body: &str) {
        let parked = self.inbox.next(PARKED).await;
        assert_eq!(parked.header("parked-because").as_deref(), Some(BECAUSE));
        assert_eq!((parked.body.as_str(), parked.id()), (body, task.id()));
    }

    /// The process is killed, and the next one gets nothing over which it would panic.
    async fn next_does_not_panic(mut self, mut bridge: BridgeProcess) {
        let reply_to = self.worker.seen()[0].reply_to();
        all_acknowledged(&self.world, &self.inbox, &reply_to).await;
        bridge.kill().await;
        // AWS would hand the next task to a poll of the dead process.
        self.world.until("no polls", |s| s.open_polls == 0).await;
        let mut bridge = Self::bridge(&self.world, &self.over).await;
        // Where the bridge is the broker, the connection ended with it.
        self.inbox = Inbox::connect(&self.world.amqp_uri).await;
        self.goes_on("after a restart").await;
        bridge.idle().await;
        all_acknowledged(&self.world, &self.inbox, &reply_to).await;
        // The first process may be killed before it is on the disk that somebody took what it had parked.
        if let Some(left) = self.inbox.get(PARKED).await {
            assert_eq!(left.header("parked-because").as_deref(), Some(BECAUSE));
        }
        assert!(self.inbox.get(PARKED).await.is_none());
        assert!(bridge.terminate().await.success());
        assert!(!bridge.log().contains("panic"));
    }
}

fn is_failed(task: &TaskRecord, name: &str, words: &str) {
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let (reason, details) = Swf.failure(name, words, "");
    assert_eq!(task.reason.as_deref(), Some(reason.as_str()));
    assert_eq!(task.details, details);
}

#[rstest]
#[tokio::test]
async fn a_reply_over_which_the_bridge_panics_is_parked_and_fails_its_task_and_no_other(
    #[values("on-read", "on-reply", "before-aws")] point: &str,
    #[values(File, Redis)] store: Store,
) {
    let (place, bridge) = Place::new(point, store).await;
    let (id, task) = place.task("first").await;
    place
        .inbox
        .reply(&task, Answer::done("poison").remove(0))
        .await;
    place.is_parked(&task, "poison").await;
    let words = format!("unusable reply: {BECAUSE}");
    is_failed(&place.world.closed(&id).await, "UnusableReply", &words);
    place.goes_on("second").await;
    bridge.idle().await;
    place.next_does_not_panic(bridge).await;
}

#[rstest]
#[case::unread_sign("on-read", "heartbeat")]
#[case::sign("on-reply", "heartbeat")]
#[case::result_of_an_unknown_task("on-lookup", "completed")]
#[tokio::test]
async fn a_reply_that_does_not_end_its_task_and_over_which_the_bridge_panics_is_parked(
    #[case] point: &str,
    #[case] kind: &'static str,
) {
    let (place, bridge) = Place::new(point, File).await;
    let (id, task) = place.task("first").await;
    place.inbox.reply(&task, Answer::of(kind, "poison")).await;
    place.is_parked(&task, "poison").await;
    place.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    bridge.idle().await;
    place.next_does_not_panic(bridge).await;
}

#[rstest]
#[tokio::test]
async fn a_task_over_which_the_bridge_panics_is_failed_back_and_no_other(
    #[values("after-poll", "after-insert")] point: &str,
) {
    let (place, bridge) = Place::new(point, File).await;
    let id = place.schedule("poison");
    let words = "publishing it panicked; this is a bug of activity-bridge";
    is_failed(&place.world.closed(&id).await, "Undelivered", words);
    place.goes_on("second").await;
    bridge.idle().await;
    place.next_does_not_panic(bridge).await;
}

#[tokio::test]
async fn a_dead_letter_over_which_the_bridge_panics_is_parked_and_fails_its_task() {
    let world = World::new().await;
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "on-reply")];
    let routes = [route(HEARTBEAT, "poll_without_consumers = true")];
    let mut bridge = world.bridge_in(&env, "", &routes).await;
    bridge.route_is(PAYMENTS, "polling").await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let rejected = async || {
        let id = world.schedule(PAYMENTS, 1).remove(0);
        let task = eventually("a task", || async {
            let options = BasicGetOptions { no_ack: false };
            let got = inbox.channel().basic_get(PAYMENTS.into(), options).await;
            got.expect("the queue can be read")
        });
        let (task, options) = (task.await, BasicRejectOptions { requeue: false });
        task.reject(options).await.expect("rejected");
        (TaskMessage::of(&task.delivery), world.closed(&id).await)
    };
    let (task, ended) = rejected().await;
    let words = format!("unusable reply: {BECAUSE}");
    is_failed(&ended, "UnusableReply", &words);
    let parked = inbox.next(PARKED).await;
    assert_eq!(parked.header("parked-because").as_deref(), Some(BECAUSE));
    assert_eq!(parked.id(), task.id());
    let (_, ended) = rejected().await;
    assert!(
        ended
            .reason
            .is_some_and(|reason| !reason.contains("panicked"))
    );
    bridge.idle().await;
    assert!(bridge.terminate().await.success());
}

/// Loops that panic later, with tasks in flight, are among the crash points.
#[rstest]
#[case::admin("admin-loop", "the admin endpoint")]
#[case::broker("broker-loop", "the connection to the broker")]
#[case::drain("drain-loop", "the drain")]
#[case::lost_queues("lost-queue-loop", "the lost queues")]
#[case::reload("reload-loop", "the reload")]
#[tokio::test]
async fn a_loop_that_panics_at_the_start_ends_the_process(#[case] point: &str, #[case] name: &str) {
    let world = World::new().await.kept_in(File);
    let config = world.write_config("", &[route(HEARTBEAT, "")]);
    let bridge = command()
        .args(["run", "--config"])
        .arg(config)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("ACTIVITY_BRIDGE_PANIC_AT", point)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the bridge starts");
    let ended = timeout(TEST_TIMEOUT, bridge.wait_with_output()).await;
    let ended = ended.expect("in time").expect("an output");
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8_lossy(&ended.stderr);
    let line = log.lines().find(|line| line.contains("a loop panicked"));
    assert!(line.is_some_and(|line| line.contains(name)), "{log}");
}

/// The loop that reads replies is the one, and the grace period ends without the reply. The next process gets it.
#[tokio::test]
async fn a_loop_that_panics_in_a_shutdown_does_not_end_it() {
    let world = World::new().await.kept_in(File);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    // The first item tells of the queue, because the reply queue is new.
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "reply-loop:2")];
    let (settings, routes) = ("[shutdown]\ngrace_secs = 4", [route(HEARTBEAT, "")]);
    let mut bridge = world.bridge_in(&env, settings, &routes).await;
    world.schedule(PAYMENTS, 1);
    let task = worker.has_seen(1).await.remove(0);
    bridge.signal("TERM");
    bridge.logged("shutting down phase=").await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let line = bridge.logged("a loop panicked").await;
    assert!(line.contains("the shutdown goes on"), "{line}");
    assert!(bridge.ended().await.success());
    let log = bridge.log();
    assert!(log.contains("the tasks in flight stay in the token store"));

    let bridge = world.bridge(&routes).await;
    world.until("completed", |s| s.completed == 1).await;
    bridge.idle().await;
    world.assert_each_completed_once(1);
}
