//! A bridge in process, with one route or more.

use super::{
    broker::{Receipts, ScriptedBroker},
    log::{Did, Log},
    source::ScriptedSource,
    store::{Kind, ScriptedStore},
};
use activity_bridge::{
    app::route_maker::RouteMaker,
    broker::{Delivery, Durability, Inbound, Receipt},
    config::{Basics, Config},
    context::{Bridge, MAX_PARK_RETRIES},
    inflight::{InflightTable, LostQueues, OwnershipCheck},
    intake::{gate::Gate, loops::RouteLoops, lost_queue, publish},
    metrics::Metrics,
    phase::Phase,
    process::{DrainSwitch, Idleness, RequestedDrain, Shutdown, ShutdownConfig},
    replicas::lease,
    route::{Route, Routes},
    settle::{heartbeat, replies},
    store::{Record, Store},
    task::{Input, Task, TaskId, TaskToken, Timeout, Timeouts},
    trace::Tracer,
    util::{log_tally::LogTally, supervise::Supervisor},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Mutex, Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// The heartbeat timeout of every task.
pub const T: Duration = Duration::from_secs(30);

/// The heartbeat interval.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The smallest step of the clock. By then all loops have done what there was to do.
pub const MOMENT: Duration = Duration::from_millis(1);

pub fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// The settings of a broker that keeps messages.
const RABBITMQ: &str = "uri = \"amqp://127.0.0.1\"";

pub struct World {
    pub bridge: Arc<Bridge>,
    pub route: Arc<Route>,
    pub broker: Arc<ScriptedBroker>,
    pub source: Arc<ScriptedSource>,
    pub store: Arc<ScriptedStore>,
    pub log: Arc<Log>,
    pub phase: watch::Sender<Phase>,
    /// What the route's gate says, once [`World::poll`] was called.
    pub gate: watch::Receiver<Gate>,
    /// What the gates of all routes say.
    pub all_gates: Vec<watch::Receiver<Gate>>,
    /// What drains, once [`World::may_drain`] was called.
    pub switch: DrainSwitch,
    shutdown: ShutdownConfig,
    inbound: mpsc::Sender<Inbound>,
    pub loops: RouteLoops,
    pub maker: Option<RouteMaker>,
    pub basics: Basics,
    start: Instant,
    replies: AtomicUsize,
}

/// A loop that ended or panicked would let tests pass that see nothing happen.
impl Drop for World {
    fn drop(&mut self) {
        self.loops.end_all();
        let broken = self.bridge.supervisor.is_broken();
        assert!(std::thread::panicking() || !broken, "a loop broke");
    }
}

impl World {
    /// With the store of a single process, which forgets.
    pub fn new() -> Self {
        Self::with(Kind::Memory, "")
    }

    /// `settings`: what else stands in the route's table of the configuration, and further routes.
    pub fn with(kind: Kind, settings: &str) -> Self {
        Self::before_the_start(kind, settings).started()
    }

    /// With a broker that keeps no messages.
    pub fn forgetful(kind: Kind, settings: &str) -> Self {
        Self::before_the_start_with(kind, settings, Durability::Process).started()
    }

    /// With a broker of this kind, and a store that forgets.
    pub fn with_broker(durability: Durability) -> Self {
        Self::before_the_start_with(Kind::Memory, "", durability).started()
    }

    fn started(self) -> Self {
        let world = self;
        world.run_heartbeats();
        if world.bridge.store.shared().is_some() {
            let lease = lease::run(Arc::clone(&world.bridge), world.phase.subscribe());
            world.bridge.supervisor.spawn_loop("the lease", lease);
        }
        world
    }

    /// With a broker that tells credit. It has no consumer before the test says so.
    pub fn on_the_endpoint(settings: &str) -> Self {
        let config = config("", Kind::Memory, settings);
        let world = Self::of(config, Kind::Memory, Durability::Process);
        world.broker.tell(0, 0, 0);
        world.run_heartbeats();
        world
    }

    /// Reads replies, and does nothing else.
    pub fn before_the_start(kind: Kind, settings: &str) -> Self {
        Self::before_the_start_with(kind, settings, Durability::Durable)
    }

    /// With a broker of this kind.
    pub fn before_the_start_with(kind: Kind, settings: &str, durability: Durability) -> Self {
        let config = config(RABBITMQ, kind, settings);
        Self::of(config, kind, durability)
    }

    /// The configuration of a world with these settings, whose broker keeps messages.
    pub fn text(&self, settings: &str) -> String {
        text(RABBITMQ, self.store.kind, settings)
    }

    fn of(config: Config, kind: Kind, durability: Durability) -> Self {
        let log = Arc::new(Log::new());
        let broker = Arc::new(ScriptedBroker::new(Arc::clone(&log), durability));
        let source = Arc::new(ScriptedSource::new(Arc::clone(&log)));
        let store = Arc::new(ScriptedStore::new(Arc::clone(&log), kind));
        let metrics = Metrics::new().expect("metrics");
        let shutdown = config.shutdown;
        let basics = config.basics();
        let of_routes = Arc::clone(&source);
        let mut maker = RouteMaker::new(move |config| {
            let panics_for = of_routes.panics_for.lock();
            assert_ne!(
                panics_for.as_ref(),
                Some(&config.name),
                "as the test wants it"
            );
            Arc::clone(&of_routes) as _
        });
        let routes = config.routes.into_iter();
        let routes: Vec<_> = routes.map(|route| maker.make(route, &metrics)).collect();
        let route = Arc::clone(&routes[0]);
        let bridge = Arc::new(Bridge {
            broker: Arc::clone(&broker) as _,
            store: Arc::clone(&store) as Arc<dyn Store>,
            routes: Routes::new(routes),
            inflight: InflightTable::new(100),
            lost_queues: LostQueues::default(),
            ownership: OwnershipCheck::default(),
            adopting: Mutex::default(),
            park_retries: Semaphore::new(MAX_PARK_RETRIES),
            unusable: LogTally::default(),
            metrics,
            tracer: Tracer::default(),
            supervisor: Supervisor::default(),
        });
        let (inbound, stream) = mpsc::channel(100);
        let reading = replies::run(Arc::clone(&bridge), stream);
        bridge.supervisor.spawn_loop("the replies", reading);
        let republishing = lost_queue::run(Arc::clone(&bridge));
        (bridge.supervisor).spawn_loop("the lost queues", republishing);
        Self {
            bridge,
            route,
            broker,
            source,
            store,
            log,
            phase: watch::channel(Phase::Running).0,
            gate: watch::channel(Gate::Starting).1,
            all_gates: Vec::new(),
            switch: DrainSwitch::new(shutdown.grace),
            shutdown,
            inbound,
            loops: RouteLoops::default(),
            maker: Some(maker),
            basics,
            start: Instant::now(),
            replies: AtomicUsize::new(0),
        }
    }

    pub fn run_heartbeats(&self) {
        let heartbeats = heartbeat::run(Arc::clone(&self.bridge));
        let supervisor = &self.bridge.supervisor;
        supervisor.spawn_loop("the heartbeats", heartbeats);
    }

    /// Starts the gates of the routes and their poll loops.
    pub fn poll(&mut self) {
        for route in self.bridge.routes.all().iter() {
            let phase = self.phase.subscribe();
            self.loops.begin(&self.bridge, route, phase);
            self.all_gates.push(self.loops.gate(route.name()));
        }
        self.gate = self.loops.gate(self.route.name());
    }

    /// Drains when [`World::switch`] is told to.
    pub fn may_drain(&self) {
        self.may_drain_after(watch::channel(true).1);
    }

    /// The same, before the recovery has ended.
    pub fn may_drain_after(&self, recovered: watch::Receiver<bool>) {
        let drain = RequestedDrain {
            bridge: Arc::clone(&self.bridge),
            phase: self.phase.clone(),
            recovered,
            switch: self.switch.clone(),
        };
        let supervisor = &self.bridge.supervisor;
        supervisor.spawn_loop("the drain", drain.run());
    }

    /// What is observed of a process that runs until it is idle.
    pub fn idleness(&self) -> Idleness {
        Idleness {
            bridge: Arc::clone(&self.bridge),
            loops: self.loops.clone(),
            phase: self.phase.subscribe(),
        }
    }

    /// What the shutdown needs of it.
    pub fn shutdown(&mut self) -> Shutdown {
        self.bridge.supervisor.shut_down();
        Shutdown {
            bridge: Arc::clone(&self.bridge),
            loops: self.loops.clone(),
            phase: self.phase.clone(),
            config: self.shutdown,
            since: self.switch.end(),
        }
    }

    /// A task as a poll brings it.
    pub fn task(&self) -> Task {
        Task {
            id: TaskId::random(),
            token: TaskToken::new("token").expect("a token"),
            activity: "charge".to_owned(),
            input: Input::from("{}".to_owned()),
            headers: Vec::new(),
            polled_at: SystemTime::now(),
            timeouts: Timeouts {
                heartbeat: Timeout::After(T),
                start_to_close: Timeout::Unknown,
            },
        }
    }

    /// The record of such a task, as a store hands it out.
    pub fn record(&self, task: &Task, published: bool) -> Record {
        Record {
            id: task.id,
            route: self.route.name().to_owned(),
            source: Some(self.route.source.kind()),
            token: task.token.clone(),
            activity: task.activity.as_str().into(),
            polled_at: task.polled_at,
            timeouts: task.timeouts,
            published,
            begun: false,
            heard: None,
            durable: true,
            failed_deliveries: 0,
            has_outcome: false,
        }
    }

    /// Sends a task on its way from the poll to the broker.
    pub async fn submit(&self, task: Task) -> TaskId {
        let id = task.id;
        let (slot, unpersisted) = self.route.room().await;
        let (bridge, route) = (Arc::clone(&self.bridge), Arc::clone(&self.route));
        let publishing = publish::fresh(bridge, route, task, slot, unpersisted);
        let supervisor = &self.bridge.supervisor;
        supervisor.spawn("a publication", publishing);
        id
    }

    /// A task that the broker has confirmed.
    pub async fn dispatch(&self) -> TaskId {
        let id = self.submit(self.task()).await;
        self.log.wait_for(Did::NotedConfirm).await;
        id
    }

    /// A task that a broker which keeps no messages has delivered for the first time.
    pub async fn deliver(&self) -> TaskId {
        let id = self.submit(self.task()).await;
        self.log.wait_for(Did::Publish).await;
        self.redeliver(id, 0).await;
        id
    }

    /// Tells that a worker has the task, after so many failed deliveries.
    pub async fn redeliver(&self, task: TaskId, count: u32) {
        self.send(Inbound::Delivered { task, count }).await;
        self.settle_down().await;
    }

    /// Tells that the task waits again, after so many failed deliveries.
    pub async fn come_back(&self, task: TaskId, count: u32) {
        self.send(Inbound::CameBack { task, count }).await;
        self.settle_down().await;
    }

    /// Sends a reply of a worker; says its number, from 1.
    pub async fn reply(&self, id: TaskId, kind: &str, body: &str) -> usize {
        self.send_reply(id, kind, body, |_| {}).await
    }

    /// Sends a reply that was changed on its way.
    pub async fn reply_with(
        &self,
        id: TaskId,
        kind: &str,
        change: impl FnOnce(&mut Delivery),
    ) -> usize {
        self.send_reply(id, kind, "changed", change).await
    }

    /// Sends a sign of life that asks how the task fares.
    pub async fn ask(&self, id: TaskId, kind: &str) -> usize {
        let to_worker = |sign: &mut Delivery| sign.reply_to = Some("worker".to_owned());
        self.send_reply(id, kind, "", to_worker).await
    }

    /// Sends a sign of life that wants its answer there.
    pub async fn ask_at(&self, id: TaskId, kind: &str, to: &str) -> usize {
        let there = |sign: &mut Delivery| sign.reply_to = Some(to.to_owned());
        self.send_reply(id, kind, "", there).await
    }

    /// Sends a reply of a user that may settle the tasks of one queue.
    pub async fn reply_of(&self, queue: &str, id: TaskId, kind: &str) -> usize {
        let queues = Arc::new(BTreeSet::from([queue.into()]));
        let of_user = |reply: &mut Delivery| reply.queues = Some(queues);
        self.send_reply(id, kind, "of a user", of_user).await
    }

    async fn send_reply(
        &self,
        id: TaskId,
        kind: &str,
        body: &str,
        change: impl FnOnce(&mut Delivery),
    ) -> usize {
        let number = self.replies.fetch_add(1, Relaxed) + 1;
        let log = Arc::clone(&self.log);
        let mut delivery = Delivery {
            correlation_id: Some(id.reveal()),
            kind: Some(kind.to_owned()),
            reply_to: None,
            content_type: None,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            queues: None,
            may_be_copied: true,
            receipt: Receipt::new(Receipts { number, log }),
        };
        change(&mut delivery);
        self.send(Inbound::Reply(delivery)).await;
        number
    }

    pub async fn send(&self, inbound: Inbound) {
        self.inbound.send(inbound).await.expect("somebody reads");
    }

    /// Lets everything happen that happens without time.
    pub async fn settle_down(&self) {
        sleep(MOMENT).await;
    }

    /// Lets time pass until this long after the start.
    pub async fn at(&self, since_start: Duration) {
        sleep_until(self.start + since_start).await;
    }

    /// Waits until no slot is in use.
    pub async fn all_ended(&self) {
        let free = tokio::time::timeout(secs(3_600.0), self.route.slots.all_free());
        free.await.expect("every task ends within an hour");
    }
}

fn config(broker: &str, kind: Kind, settings: &str) -> Config {
    text(broker, kind, settings)
        .parse()
        .expect("a valid configuration")
}

fn text(broker: &str, kind: Kind, settings: &str) -> String {
    let store = match kind {
        Kind::Memory => "kind = \"memory\"",
        Kind::File => "kind = \"file\"",
        Kind::Redis => "kind = \"redis\"\nurl = \"redis://127.0.0.1\"",
    };
    format!(
        r#"
        [amqp]
        {broker}
        [store]
        {store}
        [shutdown]
        grace_secs = 90
        [[routes]]
        name = "payments"
        queue = "payments"
        swf = {{ domain = "shop", task_list = "payments" }}
        {settings}
        "#
    )
}
