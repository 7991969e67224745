//! The shutdown in named phases, so that a deploy loses no task.

use super::{
    awaited::{free_slots, no_open_polls},
    settings::ShutdownConfig,
};
use crate::{
    broker::Durability,
    context::Bridge,
    intake::loops::RouteLoops,
    phase::Phase,
    settle::{keep, outcome},
    store::{Lifetime, Note},
    task::{Outcome, OwnFailure, TaskId},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

/// The part of a grace period that is reserved for failing the remaining tasks back. A call to AWS takes milliseconds.
#[must_use]
pub fn flush_reserve(grace: Duration) -> Duration {
    (grace / 5).min(Duration::from_secs(10))
}

/// What a shutdown needs.
pub struct Shutdown {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// The loops of the routes. The gates end when polling has ended, and the pollers at the end.
    pub loops: RouteLoops,
    /// Announces the phase.
    pub phase: watch::Sender<Phase>,
    /// The settings of the shutdown.
    pub config: ShutdownConfig,
    /// When the grace period began: now, or with the drain that came before.
    pub since: Instant,
}

impl Shutdown {
    /// Goes through the phases. True if no task is left in flight, or if the tasks that are left are in a store that outlives
    /// the process.
    pub async fn run(self) -> bool {
        let end = self.end();
        let flush_from = end - flush_reserve(self.config.grace);

        self.enter(Phase::Quiescing);
        let quiet = timeout_at(flush_from, no_open_polls(&self.bridge)).await;
        if quiet.is_err() {
            warn!(
                "polls are still open, and a task handed to one is lost until AWS times it out; shutdown.grace_secs is too short"
            );
        }
        self.loops.end_gates();
        self.enter(Phase::Draining);
        let free = free_slots(&self.bridge, Phase::Draining);
        let mut drained = timeout_at(flush_from, free).await.is_ok();
        if drained {
            self.enter(Phase::Drained);
        } else {
            self.enter(Phase::Flushing);
            let stopping = self.bridge.broker.stop_deliveries();
            drop(timeout_at(flush_from + (end - flush_from) / 2, stopping).await);
            keep::keep_all(&self.bridge).await;
            drained = timeout_at(end, self.flush()).await.is_ok();
        }
        let Bridge {
            inflight,
            broker,
            store,
            ..
        } = &*self.bridge;
        keep::keep_all(&self.bridge).await;
        let left = inflight.len();
        let lost = match store.lifetime() {
            Lifetime::Process => left,
            Lifetime::Beyond(_) => inflight.unpersisted().len(),
        };
        if lost > 0 && broker.durability() == Durability::Process {
            error!(
                lost,
                "the grace period is over, and tasks are in flight that no other process will know; AWS will time them out. Replies that AWS has not taken are lost"
            );
        } else if lost > 0 {
            let replies = broker.reply_to();
            error!(
                lost,
                replies,
                "the grace period is over, and tasks are in flight that no other process will know; AWS will time them out. Replies that AWS has not taken stay in their queue until it expires"
            );
        } else if left > 0 {
            let outcomes = inflight.kept();
            info!(
                left,
                outcomes,
                "the grace period is over; the tasks in flight stay in the token store for the next process"
            );
        }
        // Without a record no reply can come, unless other processes read the same queue.
        let nothing_left =
            drained && store.shared().is_none() && matches!(store.count().await, Ok(0));
        broker.close(!nothing_left).await;
        // The broker has closed these connections in an orderly way, so their deliveries have not failed.
        for (id, failed) in inflight.delivered() {
            store.note(id, Note::FailedDeliveries(failed));
        }
        store.close().await;
        self.loops.end_all();
        self.enter(Phase::Closed);
        lost == 0
    }

    /// The end of the grace period. After a drain that began long ago, it leaves time to fail back what is in flight.
    #[must_use]
    pub fn end(&self) -> Instant {
        let reserve = flush_reserve(self.config.grace);
        (self.since + self.config.grace).max(Instant::now() + reserve)
    }

    fn enter(&self, phase: Phase) {
        let in_flight = self.bridge.inflight.len();
        info!(phase = phase.name(), in_flight, "shutting down");
        self.phase.send_replace(phase);
    }

    /// Fails back the tasks that are not left to another process, until there are none. Polls that are still open may bring
    /// more of them meanwhile.
    async fn flush(&self) {
        let mut again = tokio::time::interval(Duration::from_millis(200));
        loop {
            again.tick().await;
            let inflight = &self.bridge.inflight;
            let routes = self.bridge.routes.all();
            let mut routes = routes.iter();
            let (left, taken) = match self.config.give_back {
                true => (inflight.ids(), routes.any(|r| r.slots.in_use() > 0)),
                false => (
                    inflight.unpersisted(),
                    routes.any(|r| r.open_polls.number() > 0),
                ),
            };
            if left.is_empty() && !taken {
                return;
            }
            left.into_iter().for_each(|id| self.fail_back(id));
        }
    }

    /// Fails a task back to AWS, unless it is being settled already.
    fn fail_back(&self, id: TaskId) {
        if let Some(handle) = self.bridge.inflight.give_up(id) {
            let reason = "activity-bridge was shut down before the worker replied";
            warn!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
            let outcome = Outcome::failed(OwnFailure::ShutDown, reason);
            let settling = outcome::settle(Arc::clone(&self.bridge), handle, outcome);
            self.bridge.supervisor.spawn("a settlement", settling);
        }
    }
}
