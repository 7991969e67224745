//! Recovery: adopts the tasks in the store that no living process has, and publishes again those whose messages no broker
//! keeps.
//!
//! At the start, these are the tasks of this process's previous run, or those of a dead process that shared the store.
//! If several processes share the store, this repeats: when a process dies, the others adopt its tasks. When that
//! happens is decided in `replicas/`.

use super::publish;
use crate::{
    broker::Durability,
    context::Bridge,
    inflight::{Restored, lifecycle::Event},
    route::Route,
    settle::{self, resume::resume},
    store::{Record, StoreError},
    task::{Outcome, OwnFailure, TaskId},
    util::{Backoff, supervise::catch_async},
};
use futures_util::{StreamExt, future::join_all, stream};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

/// Maximum number of records that are read at once.
const PAGE: usize = 500;

/// Maximum number of tasks of a route that are published again at once.
const REPUBLISHED_AT_ONCE: usize = 100;

/// Maximum life of a task: no task of SWF and no execution of a state machine lives longer than a year.
const LONGEST_TASK: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Tasks whose messages must be published again.
pub type Unpublished = Vec<(Arc<Route>, TaskId)>;

/// Adopts every task that no living process has. An adopted task is in flight, and gets its heartbeats. The tasks to
/// publish again are added to `unpublished`.
///
/// # Errors
///
/// The store can't be read. The tasks that were read before are adopted.
pub async fn adopt(bridge: &Arc<Bridge>, unpublished: &mut Unpublished) -> Result<(), StoreError> {
    let broker = bridge.broker.durability();
    let mut adopted = 0;
    let (mut other_kind, mut failed) = (0_usize, 0_usize);
    let mut strange = BTreeMap::<String, usize>::new();
    let result = loop {
        let page = match bridge.store.adopt(PAGE).await {
            Ok(page) if page.is_empty() => break Ok(()),
            Ok(page) => page,
            Err(error) => break Err(error),
        };
        for record in page {
            let Some(route) = bridge.route(&record.route) else {
                if is_long_over(&record) {
                    // If this fails, the next start tries again.
                    drop(bridge.store.remove(record.id).await);
                } else {
                    *strange.entry(record.route).or_default() += 1;
                }
                continue;
            };
            adopted += 1;
            route.metrics.adopted.inc();
            let (id, is_durable) = (record.id, record.durable);
            let (record, restored) = Restored::found(record, broker);
            let entered = bridge.inflight.adopt(record, route, restored);
            if entered && restored != Restored::ToPublish {
                // No message of it reaches a worker from here. A reply to it casts no doubt on its worker.
                bridge.broker.withdraw(id).await;
            }
            match restored {
                Restored::ToPublish => {
                    // Until a delivery is noted, a record does not show the other kind.
                    other_kind += usize::from(!is_durable && broker == Durability::Durable);
                    unpublished.push((Arc::clone(route), id));
                }
                Restored::ToSettle if entered => resume(bridge, id),
                Restored::ToFail if entered => {
                    failed += 1;
                    fail_stranded(bridge, id);
                }
                Restored::ToSettle | Restored::ToFail | Restored::Dispatched => {}
            }
        }
        bridge.broker.expect_replies(bridge.inflight.len());
    };
    if adopted > 0 {
        let unpublished = unpublished.len();
        info!(
            tasks = adopted,
            unpublished, "took on tasks from the token store"
        );
    }
    if other_kind + failed > 0 {
        let published = other_kind;
        warn!(
            published,
            failed,
            "the token store was written with another kind of broker: its tasks are published again or, where their messages are there or a worker has begun for good, failed back to AWS"
        );
    }
    for (route, tasks) in strange {
        warn!(
            route,
            tasks,
            "tasks of a route that is not configured are in the token store; they stay there, without heartbeats, until it is configured again"
        );
    }
    result
}

/// Fails a task back to AWS whose message or worker is at a broker of another kind.
fn fail_stranded(bridge: &Arc<Bridge>, id: TaskId) {
    if let Some(handle) = bridge.inflight.give_up(id) {
        let reason = "activity-bridge was started with another kind of broker, and no reply can come from the one before";
        debug!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed(OwnFailure::ShutDown, reason);
        let settling = settle::settle(Arc::clone(bridge), handle, outcome);
        bridge.supervisor.spawn("a settlement", settling);
    }
}

/// Whether AWS must have closed the task by now.
fn is_long_over(record: &Record) -> bool {
    let limit = record.timeouts.start_to_close.certain();
    let age = record.polled_at.elapsed().unwrap_or_default();
    age > limit.unwrap_or(LONGEST_TASK) + Duration::from_secs(24 * 60 * 60)
}

/// Adopts all tasks at the start. Repeats that until the store can be read. Nothing else happens meanwhile.
pub async fn restore_all(bridge: &Arc<Bridge>) -> Unpublished {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut all = Unpublished::new();
    loop {
        let ended = bridge.store.ended(bridge.inflight.remembers()).await;
        let adopted = match ended {
            Ok(ended) => {
                // A reply to one of them is late. It casts no doubt on its worker.
                for id in ended.iter().rev() {
                    bridge.broker.withdraw(*id).await;
                }
                // The store lists the newest first. The table forgets first what it was told first.
                bridge.inflight.remember_ended(ended.into_iter().rev());
                adopt(bridge, &mut all).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = adopted else {
            return all;
        };
        warn!(%error, "the records can't be read; trying again");
        sleep(backoff.next_wait()).await;
    }
}

/// Publishes these tasks again. Returns when each is confirmed or has ended, or when its time is up. The
/// routes do not wait for each other.
pub async fn republish(bridge: &Arc<Bridge>, unpublished: Unpublished) {
    let begun = Instant::now();
    let mut by_route: BTreeMap<String, Unpublished> = BTreeMap::new();
    for (route, id) in unpublished {
        let of_route = by_route.entry(route.name().to_owned()).or_default();
        of_route.push((route, id));
    }
    let routes = by_route.into_values().map(|of_route| {
        stream::iter(of_route).for_each_concurrent(REPUBLISHED_AT_ONCE, |(route, id)| {
            let until = begun + route.config.publish_within;
            let bridge = Arc::clone(bridge);
            publish_again(
                publish::Publication {
                    bridge,
                    route,
                    until,
                },
                id,
            )
        })
    });
    join_all(routes).await;
}

async fn publish_again(publication: publish::Publication, id: TaskId) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut last_error = None;
    while publication.bridge.inflight.awaits_publish(id) {
        let lost = matches!(
            last_error,
            Some(StoreError::NoMessage | StoreError::Unreadable(_))
        );
        if lost || Instant::now() >= publication.until {
            let last_error = last_error.map_or_else(String::new, |error| error.to_string());
            return publish::fail_undelivered(
                &publication.bridge,
                &publication.route,
                id,
                last_error,
            )
            .await;
        }
        let reading = catch_async(publication.bridge.store.message(id));
        let Ok(message) = reading.await else {
            return publish::fail_panicked(&publication.bridge, &publication.route, id).await;
        };
        match message {
            Ok(Some(task)) => {
                let inflight = &publication.bridge.inflight;
                inflight.learn_activity(id, &task.activity);
                return publish::recovered(publication, task).await;
            }
            Ok(None) => {
                publication.bridge.inflight.on_publish(id, Event::Confirmed);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not read what is to be published; trying again");
                last_error = Some(error);
                sleep(backoff.next_wait()).await;
            }
        }
    }
}
