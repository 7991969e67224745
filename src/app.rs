//! Builds the bridge from a checked configuration, spawns its loops, and runs the shutdown after a signal.
//!
//! All parts are connected here and nowhere else. The parts themselves do the work.

mod added_removed;
mod phases;
mod queues;
pub mod reload;
pub mod route_maker;
mod warnings;

use crate::{
    admin::{Admin, server, socket},
    broker::{self, BrokerOptions, InboundStream, ReplyLifetime},
    config::{Config, ConfigError},
    context::{Bridge, MAX_PARK_RETRIES},
    inflight::{InflightTable, LostQueues, OwnershipCheck, remembered_for},
    intake::{gate::Gate, loops::RouteLoops, lost_queue, recovery},
    metrics::Metrics,
    phase::Phase,
    process::{
        DrainSwitch, Idleness, Shutdown, Signals, descriptors, reload::ReloadSwitch,
        service_manager, started,
    },
    replicas::lease,
    route::{RouteConfig, Routes},
    settle::{heartbeat, replies},
    source::{Sources, aws::proxies},
    store::{self, Lifetime, OwnRoute},
    trace::Tracer,
    util::{log_tally::LogTally, supervise::Supervisor},
};
use futures_util::FutureExt;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, watch},
    time::Instant,
};
use tracing::info;

/// Maximum time for the export of the last spans, within the grace period.
const EXPORT_REST: Duration = Duration::from_secs(5);

/// Runs until the process is asked to stop or, with `until_idle`, until for this time no task has come and none was in flight.
/// Returns true if no task was left in flight, or if the store keeps the tasks
/// that were left for the next process. Returns false also if a loop ended or panicked; the process must then end as in
/// a crash.
///
/// # Errors
///
/// The bridge can't start: no AWS region, an admin address that can't be bound, or a token store that can't be used.
///
/// `load` reads the configuration again for a reload.
pub async fn run(
    config: Config,
    load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    until_idle: Option<Duration>,
) -> anyhow::Result<bool> {
    let supervisor = Supervisor::default();
    let load = reload::load_on_a_thread(load);
    tokio::select! {
        ended = run_until_stopped(config, load, until_idle, supervisor.clone()) => ended,
        () = supervisor.broken() => Ok(false),
    }
}

async fn run_until_stopped(
    mut config: Config,
    load: reload::Load,
    until_idle: Option<Duration>,
    supervisor: Supervisor,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = %config.broker,
        store = config.store.place(),
        "activity-bridge starts"
    );
    // This comes before the first call to AWS or the broker.
    let signals = Signals::register()?;
    let admin_listener = server::bind(config.admin.listen).await?;
    let admin_socket = socket::open(&config.admin).await?;
    warnings::warn_of_a_short_grace(config.shutdown.grace);
    warnings::warn_of_few_descriptors(&config, descriptors::raise());
    let hangups = signals.hangups();
    let stop = signals.asked_to_stop(supervisor.clone()).fuse();
    tokio::pin!(stop);
    let routes = std::mem::take(&mut config.routes);
    let (bridge, inbound, maker) = tokio::select! {
        built = build(&config, routes, supervisor.clone()) => built?,
        () = &mut stop => return Ok(true),
    };
    info!(owner = bridge.store.owner(), "token store ready");
    let store = Arc::clone(&bridge.store);
    supervisor.spawn_loop("the token store", async move { store.closed().await });
    let (phase, phase_seen) = watch::channel(Phase::Recovering);
    let loops = RouteLoops::default();
    for route in bridge.routes.all().iter() {
        loops.add(route.name());
    }
    let gates = loops.gates(&bridge).into_iter();
    let gates = gates.map(|(_, gate)| gate).collect();
    let switch = DrainSwitch::new(config.shutdown.grace);
    let (is_started, started_seen) = watch::channel(false);
    let (reload, requests) = ReloadSwitch::new();
    let admin = Admin {
        bridge: Arc::clone(&bridge),
        loops: loops.clone(),
        phase: phase_seen.clone(),
        broker: config.broker.to_string().into(),
        store: config.store.place().into(),
        since: begun,
        started: started_seen.clone(),
        switch: switch.clone(),
        reload,
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
    for route in bridge.routes.all().iter() {
        loops.begin(&bridge, route, phase_seen.clone());
    }
    supervisor.spawn("the start", tell_of_the_start(gates, is_started));
    phases::run_phases(&bridge, unpublished, &phase, &switch);
    let telling = service_manager::tell_of_the_start(started_seen, supervisor.clone());
    supervisor.spawn("the notice of the start", telling);
    let reloader = reload::Reloader::new(
        (Arc::clone(&bridge), loops.clone(), phase_seen.clone()),
        maker,
        load,
        config.basics(),
    );
    supervisor.spawn_loop("the reload", reloader.run(hangups, requests));
    let idleness = Idleness {
        bridge: Arc::clone(&bridge),
        loops: loops.clone(),
        phase: phase_seen,
    };
    tokio::select! {
        () = &mut stop => {}
        () = idle(idleness, until_idle) => {}
    }
    supervisor.shut_down();
    service_manager::stopping();
    let since = switch.end();
    let tracer = bridge.tracer.clone();
    let shutdown = Shutdown {
        bridge,
        loops,
        phase,
        config: config.shutdown,
        since,
    };
    let end = shutdown.end();
    let ended_well = tokio::select! {
        ended_well = shutdown.run() => ended_well,
        // The first signal to a process that was idle changes nothing more. The second one ends it.
        never = stop.then(|()| pending()) => never,
    };
    let rest = end.saturating_duration_since(Instant::now());
    tracer.shutdown(rest.min(EXPORT_REST)).await;
    Ok(ended_well)
}

/// Builds what the parts share, the inbound stream, and what makes the routes.
async fn build(
    config: &Config,
    routes: Vec<RouteConfig>,
    supervisor: Supervisor,
) -> anyhow::Result<(Arc<Bridge>, InboundStream, route_maker::RouteMaker)> {
    let tracer = Tracer::start(config.otlp.as_ref(), config.broker.kind())?;
    let metrics = Metrics::new()?;
    metrics.configured();
    proxies::tell();
    let sources = Sources::load(config.region.as_deref()).await?;
    let own = |route: &RouteConfig| OwnRoute {
        name: route.name.clone(),
        source: route.source.kind(),
    };
    let names: Vec<_> = routes.iter().map(|route| route.name.clone()).collect();
    let own = routes.iter().map(own).collect();
    let store = store::open(&config.store, own, config.broker.durability()).await?;
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
    let mut maker =
        route_maker::RouteMaker::new(move |config| sources.for_route(config.source_options()));
    let routes = routes.into_iter();
    let routes = routes.map(|config| maker.make(config, &metrics)).collect();
    let bridge = Bridge {
        routes: Routes::new(routes),
        inflight: InflightTable::new(remembered_for(slots)),
        lost_queues: LostQueues::default(),
        ownership: OwnershipCheck::default(),
        adopting: Mutex::default(),
        park_retries: Semaphore::new(MAX_PARK_RETRIES),
        unusable: LogTally::default(),
        broker,
        store,
        metrics,
        tracer,
        supervisor,
    };
    Ok((Arc::new(bridge), inbound, maker))
}

/// Notes when the start is over.
async fn tell_of_the_start(gates: Vec<watch::Receiver<Gate>>, is_started: watch::Sender<bool>) {
    started(gates).await;
    info!("started: the queues are there, and workers may come");
    is_started.send_replace(true);
}

/// Waits until the process may end because nothing comes any more. Without a limit that is never.
async fn idle(idleness: Idleness, limit: Option<Duration>) {
    let Some(limit) = limit else {
        return pending().await;
    };
    idleness.lasts(limit).await;
    let secs = limit.as_secs();
    info!("no task came for {secs} s, and none is in flight: shutting down");
}
