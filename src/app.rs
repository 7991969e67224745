//! Builds the bridge from a checked configuration, spawns its loops, and runs the shutdown after a signal.
//!
//! All parts are connected here and nowhere else. The parts themselves do the work.

use crate::{
    admin::{
        server::{self, Admin},
        socket,
    },
    broker::{self, BrokerConfig, BrokerOptions, InboundStream, ReplyLifetime},
    config::Config,
    context::{Bridge, MAX_PARK_RETRIES},
    inflight::{InflightTable, LostQueues, OwnershipCheck},
    intake::{
        gate::{self, Gate},
        lost_queue, poller,
        recovery::{self, Unpublished},
    },
    metrics::Metrics,
    phase::{POLL_HOLD, Phase},
    process::{Shutdown, Signals, descriptors, flush_reserve},
    replicas::lease,
    route::{QueueCredits, Route, RouteConfig},
    settle::{heartbeat, replies},
    source::{Sources, aws::proxies},
    store::{self, Lifetime},
    trace::Tracer,
    util::{log_tally::LogTally, supervise::Supervisor},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

/// Number of ended tasks that are remembered beyond twice the slots, so that a late reply is known to be late.
const REMEMBER_MARGIN: usize = 10_000;

/// Maximum time for the export of the last spans, within the grace period.
const EXPORT_REST: Duration = Duration::from_secs(5);

/// Runs until the process is asked to stop. Returns true if no task was left in flight, or if the store keeps the tasks
/// that were left for the next process. Returns false also if a loop ended or panicked; the process must then end as in
/// a crash.
///
/// # Errors
///
/// The bridge can't start: no AWS region, an admin address that can't be bound, or a token store that can't be used.
pub async fn run(config: Config) -> anyhow::Result<bool> {
    let supervisor = Supervisor::default();
    tokio::select! {
        ended = run_until_stopped(config, supervisor.clone()) => ended,
        () = supervisor.broken() => Ok(false),
    }
}

async fn run_until_stopped(mut config: Config, supervisor: Supervisor) -> anyhow::Result<bool> {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = %config.broker,
        store = config.store.place(),
        "activity-bridge starts"
    );
    // This comes before the first call to AWS or the broker.
    let signals = Signals::register()?;
    let admin_listener = server::bind(config.admin.listen).await?;
    let admin_socket = match &config.admin.socket {
        Some(path) => Some(socket::bind(path).await?),
        None => None,
    };
    warn_of_a_short_grace(config.shutdown.grace);
    warn_of_few_descriptors(&config, descriptors::raise());
    let stop = signals.asked_to_stop(supervisor.clone());
    tokio::pin!(stop);
    let routes = std::mem::take(&mut config.routes);
    let (bridge, inbound) = tokio::select! {
        built = build(&config, routes, supervisor.clone()) => built?,
        () = &mut stop => return Ok(true),
    };
    info!(owner = bridge.store.owner(), "token store ready");
    let store = Arc::clone(&bridge.store);
    supervisor.spawn_loop("the token store", async move { store.closed().await });
    let (phase, phase_seen) = watch::channel(Phase::Recovering);
    let gates: Vec<_> = bridge
        .routes
        .iter()
        .map(|_| watch::channel(Gate::Starting))
        .collect();
    let gates_seen = gates.iter().map(|(_, seen)| seen.clone());
    let admin = Admin {
        bridge: Arc::clone(&bridge),
        routes: bridge.routes.iter().cloned().zip(gates_seen).collect(),
        phase: phase_seen.clone(),
        store: config.store.place().into(),
    };
    let serving = server::serve(admin, admin_listener, admin_socket);
    supervisor.spawn_loop("the admin endpoint", serving);

    // This comes before any reply is read. A reply to a task that is not adopted yet would be a reply to an unknown
    // task.
    let unpublished = tokio::select! {
        unpublished = recovery::restore_all(&bridge) => unpublished,
        () = &mut stop => {
            supervisor.shut_down();
            bridge.store.close().await;
            return Ok(true);
        }
    };
    supervisor.spawn_loop("the replies", replies::run(Arc::clone(&bridge), inbound));
    supervisor.spawn_loop("the heartbeats", heartbeat::run(Arc::clone(&bridge)));
    supervisor.spawn_loop("the lost queues", lost_queue::run(Arc::clone(&bridge)));
    if bridge.store.shared().is_some() {
        let lease = lease::run(Arc::clone(&bridge), phase_seen.clone());
        supervisor.spawn_loop("the lease", lease);
    }
    let mut running = Running::default();
    for (route, gate) in bridge.routes.iter().zip(gates) {
        running.add(&bridge, route, gate, phase_seen.clone());
    }
    let recovering = recover(Arc::clone(&bridge), unpublished, phase.clone());
    supervisor.spawn("the recovery", recovering);

    stop.await;
    supervisor.shut_down();
    let end = Instant::now() + config.shutdown.grace;
    let tracer = bridge.tracer.clone();
    let shutdown = Shutdown {
        bridge,
        pollers: running.pollers,
        gates: running.gates,
        phase,
        config: config.shutdown,
    };
    let ended_well = shutdown.run().await;
    let rest = end.saturating_duration_since(Instant::now());
    tracer.shutdown(rest.min(EXPORT_REST)).await;
    Ok(ended_well)
}

/// Builds what the parts share, and the inbound stream.
async fn build(
    config: &Config,
    routes: Vec<RouteConfig>,
    supervisor: Supervisor,
) -> anyhow::Result<(Arc<Bridge>, InboundStream)> {
    let tracer = Tracer::start(config.otlp.as_ref())?;
    let metrics = Metrics::new()?;
    proxies::tell();
    let sources = Sources::load(config.region.as_deref()).await?;
    let names: Vec<_> = routes.iter().map(|route| route.name.clone()).collect();
    let store = store::open(&config.store, names.clone(), config.broker.durability()).await?;
    let slots: usize = routes.iter().map(|route| route.max_in_flight).sum();
    let replies = match store.lifetime() {
        Lifetime::Process => ReplyLifetime::Process,
        Lifetime::Beyond(id) => ReplyLifetime::Store(id),
    };
    let options = BrokerOptions {
        replies,
        max_in_flight: slots,
        routes: names,
        queues: routes.iter().filter_map(RouteConfig::task_queue).collect(),
        supervisor: supervisor.clone(),
    };
    let (broker, inbound) = broker::open(&config.broker, options)?;
    let mut credits = QueueCredits::default();
    let routes = routes.into_iter().map(|config| {
        warn_of_an_unknown_timeout(&config);
        let source = sources.for_route(config.source_options());
        let metrics = metrics.for_route(&config.name, source.kind());
        Arc::new(Route::new(config, source, metrics, &mut credits))
    });
    let bridge = Bridge {
        routes: routes.collect(),
        inflight: InflightTable::new(2 * slots + REMEMBER_MARGIN),
        lost_queues: LostQueues::default(),
        ownership: OwnershipCheck::default(),
        park_retries: Semaphore::new(MAX_PARK_RETRIES),
        unusable: LogTally::default(),
        broker,
        store,
        metrics,
        tracer,
        supervisor,
    };
    Ok((Arc::new(bridge), inbound))
}

/// Publishes the unconfirmed tasks again. Then waits for the leases of other processes, adopts the tasks of dead ones,
/// and sets the phase to running.
async fn recover(bridge: Arc<Bridge>, unpublished: Unpublished, phase: watch::Sender<Phase>) {
    recovery::republish(&bridge, unpublished).await;
    lease::await_peer_leases(&bridge).await;
    let mut later = Unpublished::new();
    // If that fails, the loop that adopts the tasks of dead processes tries again.
    drop(recovery::adopt(&bridge, &mut later).await);
    recovery::republish(&bridge, later).await;
    phase.send_if_modified(|phase| {
        let recovered = *phase == Phase::Recovering;
        if recovered {
            *phase = Phase::Running;
        }
        recovered
    });
}

/// The loops of the routes.
#[derive(Default)]
struct Running {
    pollers: JoinSet<()>,
    gates: JoinSet<()>,
}

impl Running {
    /// Spawns a route's gate and its poll loop.
    fn add(
        &mut self,
        bridge: &Arc<Bridge>,
        route: &Arc<Route>,
        (gate, gate_seen): (watch::Sender<Gate>, watch::Receiver<Gate>),
        phase: watch::Receiver<Phase>,
    ) {
        let supervisor = &bridge.supervisor;
        let keeping = gate::run(Arc::clone(bridge), Arc::clone(route), gate);
        let name = format!("the gate of route {}", route.name());
        self.gates.spawn(supervisor.watch_loop(&name, keeping));
        let polling = poller::run(Arc::clone(bridge), Arc::clone(route), gate_seen, phase);
        let name = format!("the poller of route {}", route.name());
        self.pollers.spawn(supervisor.watch_loop(&name, polling));
    }
}

fn warn_of_an_unknown_timeout(route: &RouteConfig) {
    if let Some(interval) = route.supposed_interval() {
        let (route, secs) = (&route.name, interval.as_secs());
        warn!(
            route,
            "heartbeat.timeout_secs is not set: a task that waits is kept alive every {secs} s, and times out if its heartbeat timeout is shorter"
        );
    }
}

/// Number of descriptors for all that is not counted one by one: heartbeats and outcomes at work, the store, the admin
/// endpoint.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// Number of sockets of workers beyond the connections that are in use: those that close.
const CLOSING_SOCKETS: u64 = 128;

fn warn_of_few_descriptors(config: &Config, limit: Option<u64>) {
    let workers = match &config.broker {
        BrokerConfig::Endpoint(endpoint) => endpoint.max_connections as u64 + CLOSING_SOCKETS,
        BrokerConfig::RabbitMq(_) => 0,
    };
    let polls = config.routes.iter().map(|route| route.pollers.max as u64);
    let polls: u64 = polls.sum();
    let needs = workers + polls + OTHER_DESCRIPTORS;
    if let Some(limit) = limit.filter(|limit| *limit < needs) {
        warn!(
            "the limit on open files is {limit}, and {needs} may be needed: {workers} for workers (amqp.max_connections), {polls} for polls (pollers.max), {OTHER_DESCRIPTORS} for the rest; raise it (ulimit -n, LimitNOFILE)"
        );
    }
}

fn warn_of_a_short_grace(grace: Duration) {
    if grace - flush_reserve(grace) <= POLL_HOLD {
        let secs = grace.as_secs();
        warn!(
            "shutdown.grace_secs = {secs} leaves no time for the polls that AWS holds for 60 s: a shutdown may fail or lose a task; 75 is enough"
        );
    }
}
