//! Reads the configuration again while the process runs: on SIGHUP, and when `activity-bridge reload` asks.
//!
//! Everything is checked before anything changes. Then all changes are made at once, without a wait between them. A poll and its task
//! keep the settings with which the poll began.

use super::{
    added_removed::{begin, end},
    queues::Queues,
    route_maker::RouteMaker,
    warnings,
};
use crate::{
    config::{Basics, Config, ConfigError, written::Written},
    context::Bridge,
    inflight::remembered_for,
    intake::{gate::Gate, loops::RouteLoops},
    phase::Phase,
    process::{
        descriptors,
        reload::{ReloadRefusal, ReloadReport, ReloadRequest, Reloaded},
        service_manager,
    },
    route::{Route, RouteConfig},
    telemetry,
    util::{
        FileReads,
        crash_point::{CrashPoint, crash_point},
        supervise::catch,
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{future::pending, sync::Arc};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

/// Reads the configuration as the process was told to at its start.
pub type Load = Box<dyn Fn() -> BoxFuture<'static, Result<Config, ReloadRefusal>> + Send + Sync>;

const REFUSED: &str = "the configuration was not reloaded; the bridge goes on with the one before";

/// Reads it on a thread of its own, because the disk may hang.
pub(super) fn load_on_a_thread(
    load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
) -> Load {
    let (load, reads) = (Arc::new(load), FileReads::default());
    Box::new(move || {
        let (load, reads) = (Arc::clone(&load), reads.clone());
        let reading = async move {
            let read = reads.run(move || load()).await;
            let config = read.map_err(ReloadRefusal::NotNow)?;
            config.map_err(|error| ReloadRefusal::Invalid(error.to_string()))
        };
        reading.boxed()
    })
}

/// See the module.
pub struct Reloader {
    bridge: Arc<Bridge>,
    loops: RouteLoops,
    phase: watch::Receiver<Phase>,
    maker: RouteMaker,
    load: Load,
    at_start: Basics,
    /// The settings that are in use.
    written: Written,
    queues: Queues,
}

/// What is to be changed.
#[derive(Default)]
struct Plan {
    /// All routes afterwards.
    routes: Vec<Arc<Route>>,
    added: Vec<Arc<Route>>,
    /// Each route as it was and as it will be.
    changed: Vec<(Arc<Route>, Arc<Route>)>,
    /// Each route as it leaves.
    removed: Vec<Arc<Route>>,
}

impl Reloader {
    /// For a process that was started with these settings.
    #[must_use]
    pub fn new(
        (bridge, loops, phase): (Arc<Bridge>, RouteLoops, watch::Receiver<Phase>),
        maker: RouteMaker,
        load: Load,
        at_start: Basics,
    ) -> Self {
        Self {
            queues: Queues::new(Arc::clone(&bridge)),
            bridge,
            loops,
            phase,
            maker,
            load,
            written: at_start.written.clone(),
            at_start,
        }
    }

    /// Reloads at each SIGHUP and each request, one after the other.
    pub async fn run(
        mut self,
        mut hangups: watch::Receiver<()>,
        mut requests: mpsc::Receiver<ReloadRequest>,
    ) {
        let mut phase = self.phase.clone();
        let mut hung_up = false;
        loop {
            crash_point(CrashPoint::ReloadLoop);
            let request = tokio::select! {
                Ok(()) = hangups.changed() => {
                    hung_up = true;
                    continue;
                }
                // Nobody sees the answer to a signal, so it waits for the end of the start.
                true = is_over(&mut phase), if hung_up => {
                    hung_up = false;
                    info!("SIGHUP: reading the configuration again");
                    None
                }
                Some(request) = requests.recv() => Some(request),
                else => pending().await,
            };
            let reloaded = self.reload().await;
            if let Some(request) = request {
                // Who has asked may have left.
                drop(request.send(reloaded));
            }
        }
    }

    /// Reads the configuration, and changes what can be changed without a restart.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    pub async fn reload(&mut self) -> Reloaded {
        let telling = service_manager::reloading();
        let reloaded = self.check_and_apply().await;
        drop(telling);
        match &reloaded {
            Ok(report) => {
                self.bridge.metrics.configured();
                let ReloadReport {
                    added,
                    changed,
                    removed,
                    keys,
                    needs_restart,
                } = report;
                let names = |names: &[String]| names.join(", ");
                let (added, changed, removed) = (names(added), names(changed), names(removed));
                let keys = names(keys);
                info!(
                    added,
                    changed, removed, keys, "the configuration was reloaded"
                );
                if !needs_restart.is_empty() {
                    let keys = names(needs_restart);
                    warn!("needs a restart: {keys}");
                }
            }
            Err(refusal) => {
                self.bridge.metrics.reload_refused();
                let why = refusal.to_string().replace("\n ", "");
                match refusal {
                    ReloadRefusal::Invalid(_) => error!(why, "{REFUSED}"),
                    ReloadRefusal::NotNow(_) => warn!(why, "{REFUSED}"),
                }
            }
        }
        reloaded
    }

    async fn check_and_apply(&mut self) -> Reloaded {
        self.check_phase()?;
        let config = (self.load)().await?;
        // A drain may have begun meanwhile.
        self.check_phase()?;
        let now = config.basics();
        if let Some(key) = now.other_ground(&self.at_start) {
            return Err(ReloadRefusal::NotNow(format!(
                "needs a restart: {key}; the routes depend on it, so nothing was changed"
            )));
        }
        self.check_owners(&config.routes)?;
        warnings::warn_of_few_descriptors(&config, descriptors::raise());
        let planned = catch(|| self.plan(config.routes));
        let plan = planned.map_err(|_| {
            let why = "a panic while the reload was prepared; this is a bug of activity-bridge, and nothing was changed";
            ReloadRefusal::NotNow(why.to_owned())
        })?;
        let mut report = self.apply(plan);
        report.needs_restart = now.written.needs_restart(&self.at_start.written);
        telemetry::set_level(now.log_level);
        if let Some(limits) = now.limits {
            self.bridge.broker.set_limits(limits);
        }
        report.keys = now.written.reloaded(&self.written);
        self.written = now.written;
        Ok(report)
    }

    fn check_phase(&self) -> Result<(), ReloadRefusal> {
        let phase = *self.phase.borrow();
        if phase == Phase::Running {
            return Ok(());
        }
        let name = phase.name();
        Err(ReloadRefusal::NotNow(format!(
            "the bridge is in the phase {name}; a configuration is reloaded while it is running"
        )))
    }

    /// Refuses what would give tasks in flight to another route, or to another service of AWS.
    fn check_owners(&self, configs: &[RouteConfig]) -> Result<(), ReloadRefusal> {
        let before = self.bridge.routes.all();
        for config in configs {
            let name = &config.name;
            let known = before.iter().find(|route| route.name() == name);
            let other_service = |known: &Arc<Route>| known.source.kind() != config.source.kind();
            if known.is_some_and(other_service) {
                return Err(ReloadRefusal::NotNow(format!(
                    "the tasks in flight of the route {name:?} belong to another AWS service than its new settings; give the route another name"
                )));
            }
            let queue = queue_of(config);
            if queue.is_none() || known.is_some_and(|known| queue_of(&known.config) == queue) {
                continue;
            }
            let has_it = |route: &&Arc<Route>| {
                route.name() != name && queue_of(&route.config) == queue && route.slots.in_use() > 0
            };
            let keeps_it = |route: &Arc<Route>| {
                let mut same = configs.iter().filter(|other| other.name == route.name());
                !route.is_leaving() && same.any(|other| queue_of(other) == queue)
            };
            let in_use = before.iter().filter(has_it).any(|route| !keeps_it(route));
            if in_use || self.queues.is_former(queue, name) {
                return Err(ReloadRefusal::NotNow(format!(
                    "the queue of the route {name:?} is still in use by the open polls or tasks of another route, which leaves it; reload again when they have ended"
                )));
            }
        }
        Ok(())
    }

    /// Makes the routes that are new, or have new settings. Nothing uses them yet.
    fn plan(&mut self, configs: Vec<RouteConfig>) -> Plan {
        let before = self.bridge.routes.all();
        let metrics = &self.bridge.metrics;
        let mut plan = Plan::default();
        for config in configs {
            let known = before.iter().find(|route| route.name() == config.name);
            let route = match known {
                None => {
                    let route = self.maker.make(config, metrics);
                    plan.added.push(Arc::clone(&route));
                    route
                }
                Some(known) if !known.is_leaving() && known.config == config => Arc::clone(known),
                Some(known) => {
                    let route = self.maker.change(known, config);
                    plan.changed.push((Arc::clone(known), Arc::clone(&route)));
                    route
                }
            };
            plan.routes.push(route);
        }
        for known in before.iter() {
            if plan.routes.iter().any(|route| route.name() == known.name()) {
                continue;
            }
            let leaving = match known.is_leaving() {
                true => Arc::clone(known),
                false => {
                    let leaving = Arc::new(known.leaving());
                    plan.removed.push(Arc::clone(&leaving));
                    leaving
                }
            };
            plan.routes.push(leaving);
        }
        plan
    }

    /// Makes the changes. Nothing else runs meanwhile.
    fn apply(&self, plan: Plan) -> ReloadReport {
        let bridge = &self.bridge;
        let mut report = ReloadReport::default();
        let name = |route: &Arc<Route>| route.name().to_owned();
        for (before, now) in &plan.changed {
            if before.config.destination != now.config.destination {
                // What the gate says is about the queue before.
                self.loops.set_gate(now.name(), Gate::Starting);
                self.queues.keep_destination_of(before, now);
            }
            now.resize();
            // A route that was leaving, and is configured again.
            match before.is_leaving() {
                true => report.added.push(name(now)),
                false => report.changed.push(name(now)),
            }
        }
        for route in &plan.added {
            self.loops.add(route.name());
        }
        report.added.extend(plan.added.iter().map(name));
        report.removed.extend(plan.removed.iter().map(name));
        // A route that leaves still has tasks here.
        let own: Vec<_> = plan
            .routes
            .iter()
            .map(|route| route.own().clone())
            .collect();
        let slots: usize = plan.routes.iter().map(|r| r.config.max_in_flight).sum();
        bridge.routes.set(plan.routes);
        self.queues.tell();
        bridge.broker.expect_replies(slots);
        bridge.inflight.remember(remembered_for(slots));
        if let Some(shared) = bridge.store.shared() {
            shared.set_routes(own);
        }
        if !plan.added.is_empty() {
            let added = plan.added.iter().map(name).collect();
            let beginning = begin(
                Arc::clone(bridge),
                self.loops.clone(),
                self.phase.clone(),
                added,
            );
            bridge.supervisor.spawn("the start of routes", beginning);
        }
        for route in plan.removed {
            let (loops, queues) = (self.loops.clone(), self.queues.clone());
            let ending = end(Arc::clone(bridge), loops, queues, route);
            bridge.supervisor.spawn("the end of a route", ending);
        }
        report
    }
}

/// The name of a route's queue; `None` if it names none.
fn queue_of(config: &RouteConfig) -> Option<&str> {
    config.destination.queue().map(|queue| &*queue.name)
}

/// Waits until the start is over. False if the process ends.
async fn is_over(phase: &mut watch::Receiver<Phase>) -> bool {
    let over = phase.wait_for(|phase| *phase >= Phase::Running);
    over.await.is_ok()
}
