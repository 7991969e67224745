//! The only wiring: from a checked configuration to a running bridge, and from a signal to its end.

use crate::{
    admin::{self, Admin},
    bridge::Bridge,
    broker::rabbitmq::{Options, RabbitMq},
    config::{Config, RouteConfig, StoreConfig},
    flights::Flights,
    gate::{self, Gate},
    heartbeat,
    metrics::Metrics,
    poller, reply,
    route::Route,
    shutdown::{POLL_HOLD, Phase, Shutdown, Signals, flush_reserve},
    source::Sources,
    store::{MemoryStore, Store},
    task::TaskId,
    trace::Tracer,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::{info, warn};

/// Beyond the tasks in flight, so many deliveries may wait for their acknowledgement: heartbeats, and replies to park.
const PREFETCH_MARGIN: usize = 100;
/// Ended tasks that are remembered beyond twice the slots, so that a late reply is known as late.
const REMEMBER_MARGIN: usize = 10_000;

/// At most so much of the grace period goes to the export of the last spans.
const EXPORT_REST: Duration = Duration::from_secs(5);

/// Runs until asked to stop. True where nothing was left in flight.
///
/// # Errors
///
/// What makes a start impossible: no AWS region, an admin address that can't be bound.
pub async fn run(config: Config) -> anyhow::Result<bool> {
    info!(version = env!("CARGO_PKG_VERSION"), store = %config.store, "activity-bridge starts");
    // Before anything is asked of AWS or the broker.
    let signals = Signals::register()?;
    let admin_listener = admin::bind(config.admin_listen).await?;
    warn_of_a_short_grace(config.shutdown_grace);
    let tracer = Tracer::start(config.otlp.as_ref())?;
    let slots: usize = config.routes.iter().map(|route| route.max_in_flight).sum();
    let (broker, replies) = RabbitMq::start(Options {
        uris: config.amqp_uris,
        reply_queue: format!("activity-bridge.replies.{}", TaskId::random()),
        prefetch: u16::try_from(slots + PREFETCH_MARGIN).unwrap_or(u16::MAX),
    });
    let bridge = Arc::new(Bridge {
        broker: Arc::new(broker),
        store: store(&config.store)?,
        flights: Flights::new(2 * slots + REMEMBER_MARGIN),
        metrics: Metrics::new()?,
        tracer: tracer.clone(),
    });
    let sources = Sources::load(config.region.as_deref()).await?;
    let (phase, phase_seen) = watch::channel(Phase::Running);
    let mut running = Running::default();
    for config in config.routes {
        warn_of_an_unknown_timeout(&config);
        let source = sources.for_route(&config);
        let metrics = bridge.metrics.for_route(&config.name, source.kind());
        let route = Arc::new(Route::new(
            config,
            source,
            metrics,
            bridge.broker.reply_to(),
        ));
        running.add(&bridge, route, phase_seen.clone());
    }
    tokio::spawn(reply::run(Arc::clone(&bridge), replies));
    tokio::spawn(heartbeat::run(Arc::clone(&bridge)));
    let admin = Admin {
        bridge: Arc::clone(&bridge),
        routes: running.routes.clone(),
        phase: phase_seen,
    };
    admin::start(admin, admin_listener);

    signals.asked_to_stop().await;
    let end = Instant::now() + config.shutdown_grace;
    let shutdown = Shutdown {
        bridge,
        routes: running.routes.into_iter().map(|(route, _)| route).collect(),
        pollers: running.pollers,
        gates: running.gates,
        phase,
        grace: config.shutdown_grace,
    };
    let drained = shutdown.run().await;
    tracer.shutdown(
        end.saturating_duration_since(Instant::now())
            .min(EXPORT_REST),
    );
    Ok(drained)
}

/// What runs for the routes.
#[derive(Default)]
struct Running {
    pollers: JoinSet<()>,
    gates: JoinSet<()>,
    routes: Vec<(Arc<Route>, watch::Receiver<Gate>)>,
}

impl Running {
    /// Starts a route's gate and its poll loop.
    fn add(&mut self, bridge: &Arc<Bridge>, route: Arc<Route>, phase: watch::Receiver<Phase>) {
        let (gate, gate_seen) = watch::channel(Gate::Starting);
        let keeping = gate::keep(Arc::clone(bridge), Arc::clone(&route), gate);
        self.gates.spawn(keeping);
        let (bridge, seen) = (Arc::clone(bridge), gate_seen.clone());
        self.pollers
            .spawn(poller::run(bridge, Arc::clone(&route), seen, phase));
        self.routes.push((route, gate_seen));
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

fn warn_of_a_short_grace(grace: Duration) {
    if grace - flush_reserve(grace) <= POLL_HOLD {
        let secs = grace.as_secs();
        warn!(
            "shutdown.grace_secs = {secs} leaves no time for the polls that AWS holds for 60 s: a shutdown may fail or lose a task; 75 is enough"
        );
    }
}

fn store(config: &StoreConfig) -> anyhow::Result<Arc<dyn Store>> {
    match config {
        StoreConfig::Memory => Ok(Arc::new(MemoryStore::default())),
        StoreConfig::File(_) | StoreConfig::Redis(_) => {
            anyhow::bail!("the token store \"{config}\" is not in this build yet")
        }
    }
}
