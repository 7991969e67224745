//! A worker as a process of its own, so that it can be killed in the middle of its work.
//!
//! It writes into a file what it has begun and what it has finished. A task is noted as finished before anything is said
//! or acknowledged about its end. What a process has written survives its kill.

use crate::{
    crash::{PAYMENTS, done, number},
    harness::{Answer, TaskMessage, reply},
};
use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use rand::RngExt;
use std::{
    env,
    fs::File,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

const URI: &str = "WORKER_URI";
const KIND: &str = "WORKER_KIND";
const NOTES: &str = "WORKER_NOTES";

/// Maximum number of tasks that a worker has at once.
const PREFETCH: u16 = 20;
/// Longest time that the work on a task takes.
const WORK: Duration = Duration::from_millis(200);

/// What a worker does when it has finished a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It acknowledges and says nothing.
    Acknowledges,
    /// It replies, and acknowledges afterwards. For some tasks it says first that it has begun.
    Replies,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Acknowledges => "acknowledges",
            Self::Replies => "replies",
        }
    }
}

/// The process.
pub(super) struct WorkerProcess {
    kind: Kind,
    child: Child,
    notes: PathBuf,
}

/// A task that a worker has had.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) id: String,
    pub(super) input: String,
    pub(super) finished: bool,
}

impl WorkerProcess {
    /// Starts one. The name is that of its file.
    pub(super) fn start(uri: &str, kind: Kind, dir: &Path, name: &str) -> Self {
        let notes = dir.join(format!("{name}.notes"));
        let (_, test) = concat!(module_path!(), "::works")
            .split_once("::")
            .expect("a module in a crate");
        let child = Command::new(env::current_exe().expect("a path"))
            .args([test, "--exact", "--ignored"])
            .env(URI, uri)
            .env(KIND, kind.name())
            .env(NOTES, &notes)
            // Its end ends the process, should this one be killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        Self { kind, child, notes }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// SIGKILL, and its end. The answer is what it had noted.
    pub(super) async fn kill(mut self) -> Vec<Noted> {
        self.child.start_kill().expect("it runs");
        let ended = self.child.wait().await.expect("a status");
        assert_eq!(ended.signal(), Some(9), "it ended by itself");
        noted(&self.notes)
    }
}

/// What a worker has written. It may have been killed before it wrote anything.
fn noted(path: &Path) -> Vec<Noted> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut all: Vec<Noted> = Vec::new();
    for line in text.lines() {
        let [what, id, input] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("no note: {line:?}");
        };
        all.push(Noted {
            id: id.to_owned(),
            input: input.to_owned(),
            finished: what == "finished",
        });
    }
    all
}

/// What the process does.
#[tokio::test]
#[ignore = "another test runs it, as a process of its own"]
async fn works() {
    let uri = env::var(URI).expect("another test runs this one");
    let kind = match env::var(KIND).as_deref() {
        Ok("acknowledges") => Kind::Acknowledges,
        _ => Kind::Replies,
    };
    let notes = env::var(NOTES).expect("a path");
    let notes = Arc::new(File::create(notes).expect("a file"));
    std::thread::spawn(|| {
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    loop {
        // The bridge may just be down.
        drop(consume(&uri, kind, &notes).await);
        sleep(Duration::from_millis(50)).await;
    }
}

async fn consume(uri: &str, kind: Kind, notes: &Arc<File>) -> lapin::Result<()> {
    let connecting = Connection::connect(uri, ConnectionProperties::default());
    let Ok(connection) = timeout(Duration::from_secs(20), connecting).await else {
        return Ok(());
    };
    let connection = connection?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let consuming = channel.basic_consume(
        PAYMENTS.into(),
        kind.name().into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut deliveries = consuming.await?;
    while let Some(delivery) = deliveries.next().await {
        let work = work(channel.clone(), kind, Arc::clone(notes), delivery?);
        tokio::spawn(work);
    }
    Ok(())
}

/// The work on a task. Several go on at once, so they end in any order.
async fn work(
    channel: Channel,
    kind: Kind,
    notes: Arc<File>,
    delivery: Delivery,
) -> lapin::Result<()> {
    let task = TaskMessage::of(&delivery);
    note(&notes, "begun", &task);
    if kind == Kind::Replies && number(&task.body).is_multiple_of(5) {
        reply(&channel, &task, Answer::of("started", "")).await?;
    }
    let takes = rand::rng().random_range(Duration::ZERO..WORK);
    sleep(takes).await;
    note(&notes, "finished", &task);
    if kind == Kind::Replies {
        reply(&channel, &task, done(&task)).await?;
    }
    delivery.ack(BasicAckOptions::default()).await.map(drop)
}

/// One write, so that a kill leaves a whole line or none.
fn note(mut notes: &File, what: &str, task: &TaskMessage) {
    let line = format!("{what} {} {}\n", task.id(), task.body);
    notes.write_all(line.as_bytes()).expect("it is written");
}
