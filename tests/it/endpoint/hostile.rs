//! Clients of the endpoint that mean no good. Meanwhile the bridge stays ready, an honest worker beside them completes its
//! tasks, and the memory of the process stays within a bound.

mod floods;
pub mod garbage;
pub mod raw;
mod stallers;

use crate::harness::{Answer, BridgeProcess, HOLD, Worker, World, free_port};
use activity_sim::TaskState;
use std::time::{Duration, Instant};

/// Maximum time in which an honest worker's tasks are done, also on a busy machine.
const TASKS_TIMEOUT: Duration = Duration::from_secs(60);

/// A bridge that is the broker, and an honest worker.
struct Stage {
    world: World,
    bridge: BridgeProcess,
    port: u16,
    /// The memory of the process before the attack, in kB.
    before: u64,
    _worker: Worker,
}

impl Stage {
    async fn new() -> Self {
        Self::with("", "").await
    }

    /// With more settings of `[amqp]` and of the route `payments`.
    async fn with(amqp: &str, route: &str) -> Self {
        let port = free_port();
        let world = World::at(format!("amqp://127.0.0.1:{port}/%2f"), HOLD).await;
        let bridge = start(&world, port, amqp, route).await;
        let worker = world.worker("payments", |_| Answer::done("ok")).await;
        let mut stage = Self {
            world,
            bridge,
            port,
            before: 0,
            _worker: worker,
        };
        stage.assert_well().await;
        stage.before = stage.memory();
        stage
    }

    /// Asserts that the bridge is ready and that the honest worker's tasks are done in time.
    async fn assert_well(&self) {
        let began = Instant::now();
        assert_eq!(self.bridge.get("/readyz").await.0, 200);
        for id in self.world.schedule("payments", 20) {
            let task = self.world.closed(&id).await;
            assert_eq!(task.state, TaskState::Completed);
        }
        let took = began.elapsed();
        assert!(took < TASKS_TIMEOUT, "{took:?}");
    }

    /// Asserts that all is well, and that the process has grown by so many MB at most.
    async fn survives(&self, most_mb: u64) {
        let grown = self.memory().saturating_sub(self.before);
        assert!(grown <= most_mb << 10, "grown by {grown} kB");
        self.assert_well().await;
        eprintln!("grown by {grown} kB");
    }

    /// The resident memory of the process, in kB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.bridge.pid()));
        let status = status.expect("the bridge runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|number| number.parse().ok()).expect("kB")
    }
}

/// Starts a bridge that is the broker itself.
async fn start(world: &World, port: u16, amqp: &str, route: &str) -> BridgeProcess {
    let text = format!(
        "[amqp]\nlisten = \"127.0.0.1:{port}\"\n{amqp}\n[store]\nkind = \"memory\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"info\"\n[[routes]]\nname = \"payments\"\nqueue = \"payments\"\n\
         swf = {{ domain = \"shop\", task_list = \"payments\" }}\n{route}\n"
    );
    let config = world.dir().join("endpoint.toml");
    std::fs::write(&config, text).expect("the configuration can be written");
    BridgeProcess::start(&config, &world.sim.url(), &[]).await
}
