//! What the tests share: a world (simulator and virtual host), the bridge as a process, workers, and a deadline for all.

mod authority;
mod bridge;
mod disk;
mod http_front;
mod node;
mod proxy;
mod scene;
mod source;
mod store;
mod worker;

pub use authority::{Authority, Identity};
pub use bridge::{BridgeProcess, command};
pub use disk::Disk;
pub use http_front::{Act, Head, HttpFront, tls_front};
pub use node::{Node, RedisServer};
pub use proxy::Proxy;
pub use scene::{Scene, all_acknowledged, unacknowledged};
pub use source::Source::{self, StepFunctions, Swf};
pub use store::Store::{self, File, Memory, Redis};
pub use worker::{Answer, Inbox, TaskMessage, Worker, arguments_of_the_bridge, reply};

use activity_sim::{ExecutionStatus, Options, Schedule, Sim, Summary, TaskRecord, TaskState};
use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::time::timeout;

/// The domain that every world's simulator knows.
pub const DOMAIN: &str = "shop";

/// The longest that anything may take which is not itself about time. A busy machine meets it: it ends a test that would hang.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// How long the simulator holds a poll, unless a test is about that.
pub const HOLD: Duration = Duration::from_secs(2);

/// What carries messages between a world's bridges and its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// A RabbitMQ.
    RabbitMq,
    /// The bridge itself, on this port.
    Endpoint(u16),
}

/// Whether the tests that fit both brokers run with the bridge as the broker.
pub fn is_endpoint() -> bool {
    std::env::var("BROKER").is_ok_and(|broker| broker == "endpoint")
}

/// The ports that [`free_port`] gives. They lie below those that the kernel gives to outgoing connections, so a
/// bridge that is started again finds its port still free; and below those of `scripts/system.py`, which gives
/// the other servers theirs.
const PORTS: std::ops::RangeInclusive<u16> = 2000..=11_999;

/// A port on which nobody listens. No two tests get the same one.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(RandomState::new().hash_one(()) as u16));
    let next = || PORTS.start() + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u16;
    let mut ports = PORTS.map(|_| next());
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("a port is free")
}

/// A simulator, and a virtual host in a broker.
pub struct World {
    /// In this process, over HTTP all the same.
    pub sim: Sim,
    /// Of the virtual host.
    pub amqp_uri: String,
    /// What its bridges use.
    pub broker: Broker,
    /// Where its routes take tasks from, but for those that say so themselves.
    pub source: Source,
    /// The `[store]` table of its bridges, as TOML.
    store: String,
    dir: TempDir,
}

impl World {
    /// In the broker that all tests share; with `BROKER=endpoint`, with bridges that are the broker themselves.
    pub async fn new() -> Self {
        Self::with_hold(HOLD).await
    }

    /// As [`World::new`], with another time for which polls are held.
    pub async fn with_hold(hold: Duration) -> Self {
        let options = Options {
            hold,
            ..Options::default()
        };
        Self::served_by(options).await
    }

    /// As [`World::new`], with a simulator of these options.
    pub async fn served_by(options: Options) -> Self {
        if is_endpoint() {
            return Self::endpoint_served_by(options).await;
        }
        let amqp_uri = new_vhost(&env("AMQP_URI"), &env("RABBITMQ_API")).await;
        Self::build(amqp_uri, options).await
    }

    /// With bridges that are the broker themselves, one at a time.
    pub async fn of_the_endpoint(hold: Duration) -> Self {
        let options = Options {
            hold,
            ..Options::default()
        };
        Self::endpoint_served_by(options).await
    }

    async fn endpoint_served_by(options: Options) -> Self {
        let port = free_port();
        let amqp_uri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
        let mut world = Self::build(amqp_uri, options).await;
        world.broker = Broker::Endpoint(port);
        world
    }

    /// At a broker of the test's own.
    pub async fn at(amqp_uri: String, hold: Duration) -> Self {
        let options = Options {
            hold,
            ..Options::default()
        };
        Self::build(amqp_uri, options).await
    }

    async fn build(amqp_uri: String, options: Options) -> Self {
        let options = Options {
            domains: vec![DOMAIN.to_owned()],
            ..options
        };
        Self {
            sim: Sim::start(options).await.expect("the simulator starts"),
            amqp_uri,
            broker: Broker::RabbitMq,
            source: Source::Swf,
            store: store::MEMORY.to_owned(),
            dir: TempDir::new().expect("a temporary folder"),
        }
    }

    /// With tasks of this source instead of SWF's.
    pub fn of(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// The virtual host.
    pub fn vhost(&self) -> &str {
        let vhost = self.amqp_uri.rsplit('/').next();
        vhost.expect("a URI has a last part")
    }

    /// A folder of the test's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the bridge with these routes, and waits until it answers on its admin address.
    pub async fn bridge(&self, routes: &[Route]) -> BridgeProcess {
        self.bridge_with("", routes).await
    }

    /// As [`World::bridge`], and waits until the route with this queue is polled. So start processes that share a token store: the first
    /// finds that there is no queue yet, and if another has just published, that is a loss to the first.
    pub async fn polling_bridge(&self, queue: &str, routes: &[Route]) -> BridgeProcess {
        let bridge = self.bridge(routes).await;
        bridge.route_is(queue, "polling").await;
        bridge
    }

    /// As [`World::bridge`], with more settings on top.
    pub async fn bridge_with(&self, settings: &str, routes: &[Route]) -> BridgeProcess {
        self.bridge_in(&[], settings, routes).await
    }

    /// As [`World::bridge_with`], with more in its environment.
    pub async fn bridge_in(
        &self,
        env: &[(&str, &str)],
        settings: &str,
        routes: &[Route],
    ) -> BridgeProcess {
        let config = self.write_config(settings, routes);
        BridgeProcess::start(&config, &self.sim.url(), env).await
    }

    /// Writes a configuration for this world.
    pub fn write_config(&self, settings: &str, routes: &[Route]) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir().join(format!("bridge-{number}.toml"));
        let amqp = match self.broker {
            Broker::RabbitMq => format!("uri = \"{}\"", self.amqp_uri),
            Broker::Endpoint(port) => format!("listen = \"127.0.0.1:{port}\""),
        };
        let mut text = format!(
            "{settings}\n[amqp]\n{amqp}\n[store]\n{}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"debug\"\n",
            self.store
        );
        for route in routes {
            let source = self.source_of(route);
            if source == Source::StepFunctions && route.domain == DOMAIN {
                self.create(route);
            }
            text.push_str(&route.toml(source, self.broker));
        }
        std::fs::write(&path, text).expect("the configuration can be written");
        path
    }

    /// A worker on a queue, which it declares as the bridge would.
    pub async fn worker(
        &self,
        queue: &str,
        answer: impl Fn(&TaskMessage) -> Vec<Answer> + Send + Sync + 'static,
    ) -> Worker {
        // Where the bridge is the broker, there may be nothing to connect to yet.
        let waits = self.broker == Broker::RabbitMq;
        Worker::start(&self.amqp_uri, queue, waits, answer).await
    }

    /// Schedules tasks for the route with this name.
    pub fn schedule(&self, route: &str, count: u32) -> Vec<String> {
        self.sim.schedule(Schedule {
            count,
            input: Some(r#"{"n":1}"#.to_owned()),
            ..self.plain(route)
        })
    }

    /// Waits until the simulator's record satisfies a condition.
    pub async fn until(&self, what: &str, condition: impl Fn(&Summary) -> bool) -> Summary {
        match self.sim.wait_until(TEST_TIMEOUT, condition).await {
            Ok(summary) => summary,
            Err(error) => panic!("{what}: not within {TEST_TIMEOUT:?}: {error:?}"),
        }
    }

    /// Waits until a task is closed.
    pub async fn closed(&self, activity_id: &str) -> TaskRecord {
        let closed = |task: &TaskRecord| !task.state.is_open();
        match self
            .sim
            .wait_for_task(activity_id, TEST_TIMEOUT, closed)
            .await
        {
            Ok(task) => task,
            Err(error) => panic!("{activity_id} was not closed within {TEST_TIMEOUT:?}: {error:?}"),
        }
    }

    /// Asserts that every task ended as completed, and with it its execution if it has one, that AWS was told so once, and
    /// nothing afterwards.
    pub fn assert_each_completed_once(&self, count: usize) {
        self.assert_each_settled_once(count);
        for task in &self.sim.tasks() {
            assert_eq!(task.late_calls, 0, "{task:?}");
        }
    }

    /// The same, but for heartbeats that were on their way when the task ended.
    pub fn assert_each_settled_once(&self, count: usize) {
        let tasks = self.sim.tasks();
        assert_eq!(tasks.len(), count);
        for task in &tasks {
            assert_eq!(task.state, TaskState::Completed, "{task:?}");
            assert_eq!(task.settle_calls, 1, "{task:?}");
        }
        for execution in self.sim.executions() {
            assert_eq!(
                execution.status,
                ExecutionStatus::Succeeded,
                "{execution:?}"
            );
        }
    }
}

/// A route of a test's configuration. Queue and task list (or activity) have the route's name, unless it is told another
/// queue.
#[derive(Clone, Debug)]
pub struct Route {
    name: String,
    queue: String,
    domain: String,
    settings: String,
    source: Option<Source>,
    plain_acks: bool,
}

impl Route {
    /// Of the world's source; of SWF in the known domain.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            queue: name.to_owned(),
            domain: DOMAIN.to_owned(),
            settings: String::new(),
            source: None,
            plain_acks: false,
        }
    }

    /// Of this source, whatever the world's is.
    pub fn of(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// In another domain, which nobody has made; nor is there its activity, if it is of Step Functions.
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = domain.to_owned();
        self
    }

    /// With a queue of another name, which routes may share.
    pub fn queue(mut self, queue: &str) -> Self {
        self.queue = queue.to_owned();
        self
    }

    /// Without a queue, for those that publish to an exchange.
    pub fn without_queue(mut self) -> Self {
        self.queue.clear();
        self
    }

    /// With nothing added for a bridge that is the broker: an acknowledgement completes its task.
    pub fn plain_acks(mut self) -> Self {
        self.plain_acks = true;
        self
    }

    /// With more settings, as lines of TOML.
    pub fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }

    fn toml(&self, source: Source, broker: Broker) -> String {
        let Self { name, settings, .. } = self;
        let queue = match self.queue.as_str() {
            "" => String::new(),
            queue => format!("queue = \"{queue}\"\n"),
        };
        let source = source.toml(self);
        let has = |key: &str| settings.contains(&format!("{key} = "));
        let mut more = String::new();
        if matches!(broker, Broker::Endpoint(_)) && !self.plain_acks {
            // The same worker for both brokers: it acknowledges what it has not finished.
            if !has("ack") {
                more.push_str("ack = \"releases\"\n");
            }
            // Here polls follow the room of consumers, and without one there is room for what may wait.
            if has("poll_without_consumers") && !has("max_ready") {
                more.push_str("max_ready = 100\n");
            }
        }
        format!("[[routes]]\nname = \"{name}\"\n{queue}{source}{more}{settings}\n")
    }
}

/// Now, as the simulator writes it.
pub fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_millis() as u64
}

/// Looks again and again until there is something to return. Only for what can't announce itself.
pub async fn eventually<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        let Ok(seen) = timeout(TEST_TIMEOUT, check()).await else {
            panic!("{what}: a look took more than {:?}", TEST_TIMEOUT);
        };
        if let Some(found) = seen {
            return found;
        }
        assert!(
            begun.elapsed() < TEST_TIMEOUT,
            "{what}: not within {TEST_TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `python3 scripts/test.py it`, which starts a broker")
    })
}

/// Makes a virtual host, and returns the URI of the broker with it.
async fn new_vhost(amqp_uri: &str, api: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let vhost = format!(
        "t{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    make_vhost(api, &vhost).await;
    let (server, _) = amqp_uri
        .rsplit_once('/')
        .expect("a URI with a virtual host");
    format!("{server}/{vhost}")
}

/// Makes a virtual host in which the user of the tests may do everything.
pub async fn make_vhost(api: &str, vhost: &str) {
    let everything = serde_json::json!({"configure": ".*", "write": ".*", "read": ".*"});
    put(&format!("{api}/api/vhosts/{vhost}"), &serde_json::json!({})).await;
    put(&format!("{api}/api/permissions/{vhost}/guest"), &everything).await;
}

/// What asks over HTTP, and does not wait for ever.
pub fn http() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(TEST_TIMEOUT).build();
    client.expect("a client")
}

/// A PUT to RabbitMQ's management API, whose URL holds the credentials.
pub async fn put(url: &str, body: &serde_json::Value) {
    let answer = http().put(url).json(body).send().await;
    let answer = answer.expect("the management API answers");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
}
