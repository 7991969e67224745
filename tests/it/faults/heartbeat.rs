//! RecordActivityTaskHeartbeat.

use super::{Fault, QUEUE, Row};
use crate::harness::{
    Answer, BridgeProcess, DOMAIN, Inbox, TaskMessage, Worker, World, eventually,
};
use activity_sim::{Schedule, TaskState};

/// What becomes of a task one of whose heartbeats meets a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The bridge repeats it until AWS has it; the attempts that failed are counted under this label.
    Repeated(&'static str),
    /// AWS never takes its details, so the bridge repeats it without them.
    Bare,
    /// It was only slow.
    Heard,
    /// The task is given up, and the worker told so.
    Gone,
}

const fn beat(fault: Fault, times: u64, end: End) -> Row<End> {
    Row {
        action: "RecordActivityTaskHeartbeat",
        fault,
        times,
        end,
    }
}

#[rustfmt::skip]
const TABLE: [Row<End>; 11] = [
    beat(Fault::Answer(500, "InternalFailure"), 2, End::Repeated("unavailable")),
    beat(Fault::Answer(503, "ServiceUnavailable"), 2, End::Repeated("unavailable")),
    beat(Fault::Answer(400, "ThrottlingException"), 2, End::Repeated("throttled")),
    beat(Fault::Answer(400, "LimitExceededFault"), 2, End::Repeated("throttled")),
    beat(Fault::Answer(400, "OperationNotPermittedFault"), 2, End::Repeated("refused")),
    beat(Fault::Answer(400, "ValidationException"), 1, End::Bare),
    beat(Fault::Drop, 2, End::Repeated("unavailable")),
    beat(Fault::Reset, 2, End::Repeated("unavailable")),
    beat(Fault::LostAnswer, 1, End::Repeated("unavailable")),
    beat(Fault::Late(300), 1, End::Heard),
    beat(Fault::Answer(400, "UnknownResourceFault"), 1, End::Gone),
];

#[tokio::test]
async fn a_fault_on_a_heartbeat_costs_no_task_unless_it_says_that_the_task_is_gone() {
    let world = World::new().await;
    let worker = world.worker(QUEUE, |_| Vec::new()).await;
    for row in &TABLE {
        world.sim.fault(row.rule());
    }
    // By the worker alone, so that each heartbeat is one that it sent.
    let heartbeat = "heartbeat = { by = 'worker', timeout_secs = 3 }";
    let routes = TABLE.map(|row| row.route().with(heartbeat));
    let bridge = world.bridge(&routes).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for row in &TABLE {
        let ids = world.sim.schedule(Schedule {
            count: 2,
            ..Schedule::new(DOMAIN, row.list())
        });
        let task = message_of(&worker, &ids[0], row).await;
        let scene = Scene {
            world: &world,
            bridge: &bridge,
            inbox: &inbox,
            row,
        };
        match row.end {
            End::Gone => scene.is_given_up(&ids[0], &task).await,
            End::Repeated(label) => scene.is_survived(&ids[0], &task, label, Some("beat")).await,
            End::Bare => scene.is_survived(&ids[0], &task, "invalid", None).await,
            End::Heard => {
                scene
                    .is_survived(&ids[0], &task, "unavailable", Some("beat"))
                    .await
            }
        }
        // The one slot is free again.
        message_of(&worker, &ids[1], row).await;
    }
}

struct Scene<'a> {
    world: &'a World,
    bridge: &'a BridgeProcess,
    inbox: &'a Inbox,
    row: &'a Row<End>,
}

impl Scene<'_> {
    async fn counted(&self, outcome: &str) -> f64 {
        let list = self.row.list();
        let series = format!("heartbeats_total{{outcome=\"{outcome}\",route=\"{list}\"");
        self.bridge.metric(&series).await
    }

    /// The worker sends one heartbeat; AWS ends up with these details, after as many faults as there were.
    async fn is_survived(&self, id: &str, task: &TaskMessage, label: &str, details: Option<&str>) {
        let row = self.row;
        self.inbox
            .reply(task, Answer::of("heartbeat", "beat"))
            .await;
        eventually(&format!("{row}: the heartbeat is accepted"), || async {
            (self.counted("accepted").await == 1.0).then_some(())
        })
        .await;
        let faults = if row.end == End::Heard { 0 } else { row.times };
        assert_eq!(self.counted(label).await, faults as f64, "{row}");
        let record = self.world.sim.task(id).expect("a record");
        let newest = record.heartbeats.back().expect("a heartbeat");
        assert_eq!(newest.details.as_deref(), details, "{row}");
        self.inbox
            .reply(task, Answer::of("completed", "done"))
            .await;
        let record = self.world.closed(id).await;
        assert_eq!(record.state, TaskState::Completed, "{row}");
    }

    async fn is_given_up(&self, id: &str, task: &TaskMessage) {
        let row = self.row;
        let told = self.inbox.bind("activity-bridge.control", &task.id()).await;
        self.inbox
            .reply(task, Answer::of("heartbeat", "still here"))
            .await;
        let cancel = self.inbox.next(&told).await;
        assert_eq!(cancel.header("reason").as_deref(), Some("gone"), "{row}");
        assert_eq!(cancel.id(), task.id(), "{row}");
        let record = self.world.sim.task(id).expect("a record");
        assert_eq!(
            (record.state, record.settle_calls),
            (TaskState::Started, 0),
            "{row}"
        );
    }
}

async fn message_of(worker: &Worker, activity_id: &str, row: &Row<End>) -> TaskMessage {
    eventually(&format!("{row}: the message of {activity_id}"), || async {
        let mut seen = worker.seen().into_iter();
        seen.find(|task| task.header("activity-id").as_deref() == Some(activity_id))
    })
    .await
}
