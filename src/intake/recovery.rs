//! Recovery: taking on the tasks that no living process has, from the store.
//!
//! At the start these are this process's own from before it ended, or those of another that shared the store. Where several
//! processes share it, the same happens again and again: a process that dies leaves its tasks to the others.

use super::publish;
use crate::{
    context::Bridge,
    inflight::lifecycle::Event,
    route::Route,
    store::{Record, StoreError},
    task::TaskId,
    util::Backoff,
};
use futures_util::{StreamExt, future::join_all, stream};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

/// How many records are read at once.
const PAGE: usize = 500;

/// How many messages are published again at once.
const REPUBLISHED_AT_ONCE: usize = 100;

/// No task of SWF's and no execution of a state machine lives longer than a year.
const LONGEST_TASK: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Tasks whose messages the broker has not confirmed.
pub type Unpublished = Vec<(Arc<Route>, TaskId)>;

/// Takes on every task that nobody has: from here on it is in flight, and gets its heartbeats. What is to be published again
/// is added to the list.
///
/// # Errors
///
/// Where the store can't be read. What was read before is taken on.
pub async fn adopt(bridge: &Bridge, unpublished: &mut Unpublished) -> Result<(), StoreError> {
    let mut adopted = 0;
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
                    // Where this fails, the next start tries again.
                    drop(bridge.store.remove(record.id).await);
                } else {
                    *strange.entry(record.route).or_default() += 1;
                }
                continue;
            };
            adopted += 1;
            route.metrics.adopted.inc();
            if !record.published {
                unpublished.push((Arc::clone(route), record.id));
            }
            bridge.inflight.adopt(record, route);
        }
    };
    if adopted > 0 {
        let unpublished = unpublished.len();
        info!(
            tasks = adopted,
            unpublished, "took on tasks from the token store"
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

/// Whether AWS must have closed the task by now.
fn is_long_over(record: &Record) -> bool {
    let limit = record.timeouts.start_to_close.certain();
    let age = record.polled_at.elapsed().unwrap_or_default();
    age > limit.unwrap_or(LONGEST_TASK) + Duration::from_secs(24 * 60 * 60)
}

/// Takes on everything at the start, however long the store can't be read: nothing else goes on meanwhile.
pub async fn restore_all(bridge: &Bridge) -> Unpublished {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut all = Unpublished::new();
    loop {
        let ended = bridge.store.ended(bridge.inflight.remembers()).await;
        let adopted = match ended {
            Ok(ended) => {
                // What is remembered last is forgotten last.
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

/// Publishes again what the broker has not confirmed, and is over when each is confirmed or has ended. One route does not wait
/// for another.
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
        let lost = matches!(last_error, Some(StoreError::NoMessage));
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
        match publication.bridge.store.message(id).await {
            Ok(Some(task)) => return publish::recovered(publication, task).await,
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
