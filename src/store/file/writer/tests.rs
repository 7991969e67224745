//! Tests of the groups. The writer runs on the test's own thread and on paused time. Time stands still unless the test
//! waits for a timer, so the results do not depend on the speed of the machine.

use super::*;
use crate::store::file::ledger;
use redb::{Builder, StorageBackend, backends::InMemoryBackend};
use std::{fmt, io, sync::Mutex};
use tokio::time::sleep;

/// What the test does while the disk is flushed.
type During = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk in memory.
struct Disk {
    memory: InMemoryBackend,
    during: During,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let during = self.during.lock().expect("no panic holds it").take();
        if let Some(during) = during {
            during();
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

type Done = oneshot::Receiver<Result<(), StoreError>>;

/// A running writer.
struct Scene {
    asks: mpsc::Sender<Ask>,
    health: Arc<Health>,
    during: During,
}

impl Scene {
    fn new() -> Self {
        let during = During::default();
        let disk = Disk {
            memory: InMemoryBackend::new(),
            during: Arc::clone(&during),
        };
        let database = Builder::new().create_with_backend(disk).expect("made");
        ledger::initialize(&database).expect("initialized");
        let instance = ledger::instance(&database).expect("read").expect("known");
        let ledger = Ledger::load(database, instance).expect("loaded");
        let health = Arc::default();
        let (asks, asked) = mpsc::channel(QUEUE);
        let writer = Writer::new(PathBuf::new(), ledger, Arc::clone(&health));
        tokio::spawn(writer.run(asked));
        Self {
            asks,
            health,
            during,
        }
    }

    fn change(&self, id: TaskId, change: Change) {
        let asked = self.asks.try_send(Ask::Change(id, change));
        asked.expect("there is room");
    }

    /// Inserts `count` tasks, and waits until they are written.
    async fn inserted(&self, count: usize) -> Vec<TaskId> {
        let (ids, done): (Vec<_>, Vec<_>) = (0..count).map(|_| insert(&self.asks)).unzip();
        written(done).await;
        ids
    }
}

fn insert(asks: &mpsc::Sender<Ask>) -> (TaskId, Done) {
    let id = TaskId::random();
    let (done, outcome) = oneshot::channel();
    let insert = Insert {
        id,
        record: b"a record".to_vec(),
        message: b"a message".to_vec(),
        done,
    };
    asks.try_send(Ask::Insert(insert)).expect("there is room");
    (id, outcome)
}

async fn written(done: impl IntoIterator<Item = Done>) {
    for done in done {
        done.await.expect("an answer").expect("written");
    }
}

#[tokio::test(start_paused = true)]
async fn no_timer_delays_an_insert_even_after_a_large_group() {
    let scene = Scene::new();
    let begun = Instant::now();
    for (flushes, count) in (1..).zip([1, 1, 100, 1, 1]) {
        scene.inserted(count).await;
        assert_eq!(scene.health.flushes(), flushes);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_requests_that_come_while_a_group_is_written_are_the_next_group() {
    let scene = Scene::new();
    let removed = scene.inserted(1).await.remove(0);
    let asks = scene.asks.clone();
    let (told, tell) = oneshot::channel();
    *scene.during.lock().expect("no panic holds it") = Some(Box::new(move || {
        let mut done: Vec<_> = (0..100).map(|_| insert(&asks).1).collect();
        let change = Ask::Change(removed, Change::removed());
        asks.try_send(change).expect("there is room");
        done.push(insert(&asks).1);
        told.send(done).expect("the test waits");
    }));
    assert_eq!(scene.health.flushes(), 1);
    let begun = Instant::now();
    scene.inserted(1).await;
    written(tell.await.expect("it was flushed")).await;
    assert_eq!(scene.health.flushes(), 3, "the one, and all others");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    sleep(MAX_CHANGE_DELAY * 2).await;
    assert_eq!(scene.health.flushes(), 3, "the change was in it as well");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_written_with_the_next_insert_or_after_its_maximum_delay() {
    const NEARLY: Duration = MAX_CHANGE_DELAY.saturating_sub(Duration::from_millis(1));
    let scene = Scene::new();
    let tasks = scene.inserted(3).await;
    let flushes = || scene.health.flushes();
    assert_eq!(flushes(), 1);

    // The first change is written with the next insert.
    scene.change(tasks[0], Change::removed());
    sleep(NEARLY).await;
    assert_eq!(flushes(), 1);
    scene.inserted(1).await;
    assert_eq!(flushes(), 2);

    // No insert comes for the other changes. The delay of both begins with the first.
    scene.change(tasks[1], Change::removed());
    sleep(NEARLY).await;
    scene.change(tasks[2], Change::removed());
    assert_eq!(flushes(), 2);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(flushes(), 3);

    // A change of a task that is not in the file is not written.
    scene.change(tasks[0], Change::removed());
    sleep(MAX_CHANGE_DELAY * 2).await;
    assert_eq!(flushes(), 3);
}
