//! RecordActivityTaskHeartbeat.

use super::{Fault, QUEUE, Row};
use crate::harness::{
    Answer, BridgeProcess, DOMAIN, Inbox, TaskMessage, Worker, World, eventually,
};
use activity_sim::{Schedule, TaskState};

/// What becomes of a task one of whose heartbeats meets a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The worker's next heartbeat reaches AWS; those that failed for good are counted under this label.
    NextOne(&'static str),
    /// The same heartbeat reaches AWS.
    SameOne,
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

const TABLE: [Row<End>; 11] = [
    beat(
        Fault::Answer(500, "InternalFailure"),
        2,
        End::NextOne("unavailable"),
    ),
    beat(
        Fault::Answer(503, "ServiceUnavailable"),
        2,
        End::NextOne("unavailable"),
    ),
    beat(
        Fault::Answer(400, "ThrottlingException"),
        2,
        End::NextOne("throttled"),
    ),
    beat(
        Fault::Answer(400, "LimitExceededFault"),
        2,
        End::NextOne("throttled"),
    ),
    beat(
        Fault::Answer(400, "OperationNotPermittedFault"),
        2,
        End::NextOne("refused"),
    ),
    beat(
        Fault::Answer(400, "ValidationException"),
        2,
        End::NextOne("invalid"),
    ),
    beat(Fault::Drop, 2, End::NextOne("unavailable")),
    beat(Fault::Reset, 2, End::NextOne("unavailable")),
    beat(Fault::LostAnswer, 1, End::SameOne),
    beat(Fault::Late(1_000), 1, End::SameOne),
    beat(Fault::Answer(400, "UnknownResourceFault"), 1, End::Gone),
];

#[tokio::test]
async fn a_fault_on_a_heartbeat_costs_no_task_unless_it_says_that_the_task_is_gone() {
    let world = World::new().await;
    let worker = world.worker(QUEUE, |_| Vec::new()).await;
    for row in &TABLE {
        world.sim.fault(row.rule());
    }
    // Relayed every 0.17 to 0.33 s.
    let routes = TABLE.map(|row| row.route().with("heartbeat = { timeout_secs = 1 }"));
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
            End::NextOne(_) | End::SameOne => scene.is_survived(&ids[0], &task).await,
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

    async fn is_survived(&self, id: &str, task: &TaskMessage) {
        let row = self.row;
        let failed_as = match row.end {
            End::NextOne(label) => label,
            End::SameOne | End::Gone => "unavailable",
        };
        let mut beats = 0;
        while self.counted("accepted").await == 0.0 {
            beats += 1;
            let before = self.counted(failed_as).await;
            self.inbox
                .reply(task, Answer::of("heartbeat", &format!("beat {beats}")))
                .await;
            eventually(
                &format!("{row}: beat {beats} accepted or failed"),
                || async {
                    let now = self.counted("accepted").await + self.counted(failed_as).await;
                    (now > before).then_some(())
                },
            )
            .await;
        }
        let failed = self.counted(failed_as).await;
        match row.end {
            End::NextOne(_) => assert!(failed >= 1.0, "{row}"),
            End::SameOne | End::Gone => assert_eq!((failed, beats), (0.0, 1), "{row}"),
        }
        let task_record = self.world.sim.task(id).expect("a record");
        let newest = task_record
            .heartbeats
            .back()
            .and_then(|beat| beat.details.as_deref());
        assert_eq!(newest, Some(format!("beat {beats}").as_str()), "{row}");
        self.inbox
            .reply(task, Answer::of("completed", "done"))
            .await;
        assert_eq!(
            self.world.closed(id).await.state,
            TaskState::Completed,
            "{row}"
        );
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
