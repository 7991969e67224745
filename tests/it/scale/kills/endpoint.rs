//! Where the bridge is the broker: the bridge and its workers are killed at random moments, each without the others'
//! knowledge. Some of the workers only acknowledge.

use super::{
    HEARTBEAT, KILLS, POLLS, TASKS, UNPERSISTED_PER_POLL, is_long, moment, random,
    until_all_have_ended,
    worker::{Kind, Noted, WorkerProcess},
};
use crate::{
    crash::{Hand, PAYMENTS, Toll, assert_none_parked, done, result, route, schedule},
    harness::{Answer, BridgeProcess, File, HOLD, Inbox, Route, TaskMessage, Worker, World},
};
use activity_sim::{Summary, TaskRecord, TaskState};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::collections::HashSet;

/// The result of a task that a worker has only acknowledged.
const ACKNOWLEDGED: &str = "acknowledged";

/// So many workers are processes, half of them such as only acknowledge.
const WORKERS: usize = 4;

/// Each bridge kill also takes the workers' connections, and the deliveries that they have.
#[tokio::test]
async fn twenty_kills_of_the_bridge_and_twenty_of_workers_lose_none_of_ten_thousand_tasks() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(File);
    let mut random = random();
    schedule(&world, 0..TASKS, HEARTBEAT);
    // This one is never killed. It leaves long tasks to the hand below.
    let patient = world
        .worker(PAYMENTS, |task| match is_long(task) {
            true => vec![Answer::of("started", "")],
            false => vec![done(task)],
        })
        .await;
    let mut of_workers = StdRng::seed_from_u64(random.random());
    let mut crowd = Crowd::start(&world);
    let mut bridges = Bridges::start(&world).await;
    tokio::join!(
        bridges.kill_them(&world, &mut random, &patient),
        crowd.kill_some(&world, &mut of_workers)
    );
    let hand = Hand::of(&world).await;
    until_all_have_ended(&world, async || hand.end(long(&patient)).await).await;
    bridges.now.idle().await;
    assert_none_parked(&Inbox::connect(&world.amqp_uri).await).await;
    bridges.logs.push(bridges.now.log());
    crowd.end().await;
    assert_what_became_of_them(&world, &patient.seen(), &crowd, &bridges.logs);
}

/// The tasks that wait for the hand.
fn long(worker: &Worker) -> impl Iterator<Item = TaskMessage> {
    worker.seen().into_iter().filter(is_long)
}

/// The bridge that runs, and the logs of all before it.
struct Bridges {
    now: BridgeProcess,
    logs: Vec<String>,
}

impl Bridges {
    async fn start(world: &World) -> Self {
        Self {
            now: world.bridge(&[Self::route()]).await,
            logs: Vec::new(),
        }
    }

    fn route() -> Route {
        let settings = format!(
            "max_in_flight = 500\npollers = {{ max = {POLLS} }}\nack_result = \"{ACKNOWLEDGED}\""
        );
        route(HEARTBEAT, &settings).plain_acks()
    }

    async fn kill_them(&mut self, world: &World, random: &mut StdRng, patient: &Worker) {
        for kill in 0..KILLS {
            moment(world, random, (kill, KILLS + 1)).await;
            self.now.kill().await;
            self.logs.push(self.now.log());
            self.now = world.bridge(&[Self::route()]).await;
            // Those of its lives before are ended in this one, or in the next. What was replied before is late now, or was
            // lost.
            Hand::of(world).await.end(long(patient)).await;
        }
    }
}

/// The workers that are killed.
struct Crowd {
    uri: String,
    dir: std::path::PathBuf,
    running: Vec<WorkerProcess>,
    started: usize,
    /// What those that were killed had noted.
    noted: Vec<(Kind, Noted)>,
    /// So many tasks were with a worker when it was killed.
    interrupted: usize,
}

impl Crowd {
    fn start(world: &World) -> Self {
        let mut crowd = Self {
            uri: world.amqp_uri.clone(),
            dir: world.dir().to_owned(),
            running: Vec::new(),
            started: 0,
            noted: Vec::new(),
            interrupted: 0,
        };
        for worker in 0..WORKERS {
            crowd.add(match worker % 2 {
                0 => Kind::Acknowledges,
                _ => Kind::Replies,
            });
        }
        crowd
    }

    fn add(&mut self, kind: Kind) {
        let name = format!("worker-{}", self.started);
        let worker = WorkerProcess::start(&self.uri, kind, &self.dir, &name);
        self.started += 1;
        self.running.push(worker);
    }

    async fn kill_some(&mut self, world: &World, random: &mut StdRng) {
        for kill in 0..KILLS {
            // Halfway between the kills of the bridge.
            moment(world, random, (2 * kill + 1, 2 * (KILLS + 1))).await;
            let which = random.random_range(0..self.running.len());
            let worker = self.running.swap_remove(which);
            self.add(worker.kind());
            self.kill(worker).await;
        }
    }

    async fn kill(&mut self, worker: WorkerProcess) {
        let kind = worker.kind();
        let noted = worker.kill().await;
        let finished = noted.iter().filter(|noted| noted.finished).count();
        self.interrupted += noted.len() - 2 * finished;
        self.noted
            .extend(noted.into_iter().map(|noted| (kind, noted)));
    }

    /// Ends those that still run.
    async fn end(&mut self) {
        let interrupted = self.interrupted;
        for worker in std::mem::take(&mut self.running) {
            self.kill(worker).await;
        }
        self.interrupted = interrupted;
    }

    /// The inputs of the tasks that workers of this kind have finished.
    fn finished(&self, kind: Kind) -> HashSet<&str> {
        let all = self.noted.iter();
        let finished = all.filter(|(of, noted)| *of == kind && noted.finished);
        finished.map(|(_, noted)| noted.input.as_str()).collect()
    }
}

fn assert_what_became_of_them(
    world: &World,
    patient: &[TaskMessage],
    crowd: &Crowd,
    logs: &[String],
) {
    let acknowledged = crowd.finished(Kind::Acknowledges);
    let mut replied = crowd.finished(Kind::Replies);
    replied.extend(patient.iter().map(|task| task.body.as_str()));
    let patient = patient.iter().map(|task| (task.id(), task.body.as_str()));
    let noted = crowd.noted.iter();
    let noted = noted.map(|(_, noted)| (noted.id.clone(), noted.input.as_str()));
    let seen = patient.chain(noted);
    let toll = Toll::where_each(world, seen, logs, |task, input| {
        assert_eq!(task.state, TaskState::Completed, "{task:?}");
        let ended_by = match task.result.as_deref() {
            Some(ACKNOWLEDGED) => &acknowledged,
            other => {
                assert_eq!(other, Some(&*result(input)), "{task:?}");
                &replied
            }
        };
        assert!(ended_by.contains(input), "nobody had finished it: {task:?}");
    });
    // AWS took one outcome of each.
    let summary = world.sim.summary();
    let taken = ["Completed", "Failed", "Canceled"].map(|end| taken(&summary, end));
    assert_eq!(taken, [toll.completed as u64, 0, 0]);
    for log in logs {
        for wrong in ["before it finished it", "a reply can't be used"] {
            assert_eq!(log.lines().find(|line| line.contains(wrong)), None);
        }
    }
    let tasks = world.sim.tasks();
    let count = |is: fn(&TaskRecord) -> bool| tasks.iter().filter(|task| is(task)).count();
    let by_acknowledgement = count(|task| task.result.as_deref() == Some(ACKNOWLEDGED));
    let told_twice = count(|task| task.settle_calls > 1);
    println!(
        "{KILLS} kills of the bridge and as many of workers, which had {} tasks then: {toll:?}; {by_acknowledgement} were \
         completed by an acknowledgement; AWS was told of {told_twice} more than once",
        crowd.interrupted
    );
    assert!(crowd.interrupted > 0 && by_acknowledgement > 0);
    assert!(toll.unreached <= KILLS as usize * POLLS, "{toll:?}");
    assert!(toll.never_recorded() <= KILLS as usize * UNPERSISTED_PER_POLL * POLLS);
}

fn taken(summary: &Summary, end: &str) -> u64 {
    summary.ok(&format!("RespondActivityTask{end}"))
}
