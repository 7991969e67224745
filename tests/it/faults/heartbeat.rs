//! RecordActivityTaskHeartbeat and SendTaskHeartbeat.

use super::{Fault, QUEUE, Row, list_of};
use crate::harness::{
    Answer, BridgeProcess, Inbox, Source, StepFunctions, Swf, TaskMessage, Worker, World,
    eventually,
};
use activity_sim::{Schedule, TaskState};
use futures_util::future::join_all;
use rstest::rstest;

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

const COMMON: [(Fault, u64, End); 8] = [
    (
        Fault::Answer(500, "InternalFailure"),
        2,
        End::Repeated("unavailable"),
    ),
    (
        Fault::Answer(503, "ServiceUnavailable"),
        2,
        End::Repeated("unavailable"),
    ),
    (
        Fault::Answer(400, "ThrottlingException"),
        2,
        End::Repeated("throttled"),
    ),
    (Fault::Answer(400, "ValidationException"), 1, End::Bare),
    (Fault::Drop, 2, End::Repeated("unavailable")),
    (Fault::Reset, 2, End::Repeated("unavailable")),
    (Fault::LostAnswer, 1, End::Repeated("unavailable")),
    (Fault::Late(300), 1, End::Heard),
];
const OF_SWF: [(Fault, u64, End); 3] = [
    (
        Fault::Answer(400, "LimitExceededFault"),
        2,
        End::Repeated("throttled"),
    ),
    (
        Fault::Answer(400, "OperationNotPermittedFault"),
        2,
        End::Repeated("refused"),
    ),
    (Fault::Answer(400, "UnknownResourceFault"), 1, End::Gone),
];
const OF_STEP_FUNCTIONS: [(Fault, u64, End); 4] = [
    (
        Fault::Answer(400, "AccessDeniedException"),
        2,
        End::Repeated("refused"),
    ),
    (Fault::Answer(400, "TaskTimedOut"), 1, End::Gone),
    (Fault::Answer(400, "TaskDoesNotExist"), 1, End::Gone),
    (Fault::Answer(400, "InvalidToken"), 1, End::Gone),
];

fn table(source: Source) -> Vec<Row<End>> {
    let own: &[_] = match source {
        Swf => &OF_SWF,
        StepFunctions => &OF_STEP_FUNCTIONS,
    };
    let rows = COMMON.iter().chain(own);
    rows.map(|&(fault, times, end)| Row {
        source,
        action: source.heartbeat(),
        fault,
        times,
        end,
    })
    .collect()
}

#[rstest]
#[tokio::test]
async fn a_fault_on_a_heartbeat_costs_no_task_unless_it_says_that_the_task_is_gone(
    #[values(Swf, StepFunctions)] source: Source,
    #[values(false, true)] throttled: bool,
) {
    let world = World::new().await.of(source);
    let worker = world.worker(QUEUE, |_| Vec::new()).await;
    let mut table = table(source);
    table.retain(|row| row.fault.throttles() == throttled);
    for row in &table {
        world.sim.fault(row.rule());
    }
    // By the worker alone, so that each heartbeat is one that it sent.
    let heartbeat = "heartbeat = { by = 'worker', timeout_secs = 24 }";
    let routes: Vec<_> = table
        .iter()
        .map(|row| row.route().with(heartbeat))
        .collect();
    let bridge = world.bridge(&routes).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (world, worker, bridge, inbox) = (&world, &worker, &bridge, &inbox);
    let scene = |row| Scene {
        world,
        worker,
        bridge,
        inbox,
        row,
    };
    join_all(table.iter().map(|row| scene(row).plays())).await;
}

struct Scene<'a> {
    world: &'a World,
    worker: &'a Worker,
    bridge: &'a BridgeProcess,
    inbox: &'a Inbox,
    row: &'a Row<End>,
}

impl Scene<'_> {
    async fn plays(self) {
        let row = self.row;
        let ids = self.world.sim.schedule(Schedule {
            count: 2,
            ..self.world.plain(&row.list())
        });
        let (id, task) = (&ids[0], nth_message(self.worker, row, 0).await);
        match row.end {
            End::Gone => self.is_given_up(id, &task).await,
            End::Repeated(label) => self.is_survived(id, &task, label, Some("beat")).await,
            End::Bare => self.is_survived(id, &task, "invalid", None).await,
            End::Heard => {
                let label = "unavailable";
                self.is_survived(id, &task, label, Some("beat")).await;
            }
        }
        // The one slot is free again.
        nth_message(self.worker, row, 1).await;
    }

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
        let details = details.and_then(|details| row.source.kept(details));
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

/// One by one they are polled, in the order in which they were scheduled.
async fn nth_message(worker: &Worker, row: &Row<End>, n: usize) -> TaskMessage {
    eventually(&format!("{row}: message {n}"), || async {
        let seen = worker.seen().into_iter();
        let mut of_row = seen.filter(|task| list_of(task) == row.list());
        of_row.nth(n)
    })
    .await
}
