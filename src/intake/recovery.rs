//! Recovery: adopts the tasks in the store that no living process has, and publishes again those whose messages no broker
//! keeps.
//!
//! At the start, these are the tasks of this process's previous run, or those of a dead process that shared the store.
//! If several processes share the store, this repeats: when a process dies, the others adopt its tasks. When that
//! happens is decided in `replicas/`.

use super::publish::{self, Cause, Publication};
use crate::{
    broker::Durability,
    context::Bridge,
    inflight::{Restored, Standing, lifecycle::Event},
    route::Route,
    settle::{self, resume::resume},
    store::{Record, StoreError},
    task::{Outcome, OwnFailure, TaskId},
    util::{Backoff, supervise::catch_async},
};
use futures_util::{StreamExt, future::join_all, stream};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
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
    adopt_if(bridge, unpublished, |_| true).await
}

/// Adopts the tasks that the store has handed out before, while their routes were not configured. What is in flight, or has ended, is
/// left alone.
///
/// # Errors
///
/// The store can't be read. The tasks that were read before are adopted.
pub async fn adopt_again(
    bridge: &Arc<Bridge>,
    unpublished: &mut Unpublished,
) -> Result<(), StoreError> {
    bridge.store.offer_again().await;
    let is_unknown = |id| matches!(bridge.inflight.standing(id), Standing::Unknown);
    adopt_if(bridge, unpublished, is_unknown).await
}

async fn adopt_if(
    bridge: &Arc<Bridge>,
    unpublished: &mut Unpublished,
    is_wanted: impl Fn(TaskId) -> bool,
) -> Result<(), StoreError> {
    let broker = bridge.broker.durability();
    let mut adopted = 0;
    let (mut other_kind, mut failed) = (0_usize, 0_usize);
    let mut strange = BTreeMap::<String, usize>::new();
    let mut lost = Unpublished::new();
    let result = loop {
        let page = match bridge.store.adopt(PAGE).await {
            Ok(page) if page.is_empty() => break Ok(()),
            Ok(page) => page,
            Err(error) => break Err(error),
        };
        for record in page {
            if !is_wanted(record.id) {
                continue;
            }
            let Some(route) = bridge.route_of(&record) else {
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
            let polled_at = record.polled_at;
            let (record, restored) = Restored::found(record, broker);
            let entered = bridge.inflight.adopt(record, &route, restored);
            if entered && restored != Restored::ToPublish {
                // No message of it reaches a worker from here. A reply to it casts no doubt on its worker.
                bridge.broker.withdraw(id).await;
            }
            match restored {
                Restored::ToPublish => {
                    // Until a delivery is noted, a record does not show the other kind.
                    other_kind += usize::from(!is_durable && broker == Durability::Durable);
                    unpublished.push((route, id));
                }
                Restored::ToSettle if entered => resume(bridge, id),
                Restored::ToFail if entered => {
                    failed += 1;
                    fail_stranded(bridge, id);
                }
                Restored::Dispatched => {
                    let queue = route.config.destination.queue();
                    let was_lost = queue
                        .is_some_and(|queue| bridge.lost_queues.has_lost(&queue.name, polled_at));
                    if entered && was_lost {
                        lost.push((route, id));
                    }
                }
                Restored::ToSettle | Restored::ToFail => {}
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
    let tasks = republish_waiting(bridge, lost);
    if tasks > 0 {
        warn!(
            tasks,
            "adopted tasks waited in a queue that the broker has lost; publishing them again"
        );
    }
    for (route, tasks) in strange {
        warn!(
            route,
            tasks,
            "tasks of a route that is not configured are in the token store; they stay there, without heartbeats, until it is configured again, for the AWS service that they came from"
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

/// Publishes these tasks again, which the broker had not confirmed. Returns when each is confirmed or has ended, or when its
/// time is up. The routes do not wait for each other.
pub async fn republish(bridge: &Arc<Bridge>, unpublished: Unpublished) {
    let none = Vec::new();
    publish_all(bridge, unpublished, none, Cause::Unconfirmed, |_| async {}).await;
}

/// Publishes these tasks again, whose messages are no longer with the broker, or fails them back to AWS. Leaves out those that a
/// worker has begun, and those that are being published. Returns the number of the others.
pub(crate) fn republish_waiting(bridge: &Arc<Bridge>, mut tasks: Unpublished) -> usize {
    tasks.retain(|(_, id)| bridge.inflight.on_message_lost(*id));
    let count = tasks.len();
    if count > 0 {
        republish_lost(bridge, tasks, Vec::new(), |_| async {});
    }
    count
}

/// Publishes these tasks again, whose messages the table notes as lost. The caller need not wait for that. Meanwhile their routes do
/// not poll. `under_way` are being published again already, and their losses are noted too.
/// `noted` comes before the first publish. It is told whether the store has noted all losses.
pub(super) fn republish_lost<F: Future<Output = ()> + Send + 'static>(
    bridge: &Arc<Bridge>,
    lost: Unpublished,
    under_way: Vec<TaskId>,
    noted: impl FnOnce(bool) -> F + Send + 'static,
) -> JoinHandle<()> {
    for (route, _) in &lost {
        route.metrics.republished.inc();
    }
    let supervisor = &bridge.supervisor;
    let bridge = Arc::clone(bridge);
    supervisor.spawn("the publication of lost tasks", async move {
        publish_all(&bridge, lost, under_way, Cause::Lost, noted).await;
    })
}

async fn publish_all<F: Future<Output = ()>>(
    bridge: &Arc<Bridge>,
    unpublished: Unpublished,
    under_way: Vec<TaskId>,
    cause: Cause,
    noted: impl FnOnce(bool) -> F,
) {
    let begun = Instant::now();
    let mut ids = under_way;
    let mut until = begun;
    let mut by_route: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (route, id) in unpublished {
        let mark = (cause == Cause::Lost).then(|| route.mark_undelivered());
        ids.push(id);
        until = until.max(begun + route.config.publish_within);
        let of_route = by_route.entry(route.name().to_owned()).or_default();
        of_route.push((route, id, mark));
    }
    let unnoted = match cause {
        Cause::Unconfirmed => None,
        Cause::Lost => note_lost(bridge, &ids, until).await.err(),
    };
    noted(unnoted.is_none()).await;
    let routes = by_route.into_values().map(|of_route| {
        stream::iter(of_route).for_each_concurrent(REPUBLISHED_AT_ONCE, |(route, id, mark)| {
            // The time of a lost task begins with its turn, because very many may have waited in a queue.
            let from = match cause {
                Cause::Lost if unnoted.is_none() => Instant::now(),
                Cause::Lost | Cause::Unconfirmed => begun,
            };
            let until = from + route.config.publish_within;
            let bridge = Arc::clone(bridge);
            // From here on the publication marks the task itself, if it fails.
            drop(mark);
            let publication = Publication {
                bridge,
                route,
                until,
            };
            publish_again(publication, id, cause, unnoted.clone())
        })
    });
    join_all(routes).await;
}

/// Notes in the store that these messages are lost. After a crash, the process that finds the records publishes them too.
async fn note_lost(bridge: &Bridge, ids: &[TaskId], until: Instant) -> Result<(), StoreError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let waiting = ids.iter().copied();
        let waiting = waiting.filter(|id| bridge.inflight.awaits_publish(*id));
        let waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return Ok(());
        }
        match bridge.store.messages_lost(&waiting).await {
            Err(error) if Instant::now() < until => {
                debug!(%error, "could not note that messages are lost; trying again");
                sleep(backoff.next_wait()).await;
            }
            noted => return noted,
        }
    }
}

async fn publish_again(
    publication: Publication,
    id: TaskId,
    cause: Cause,
    mut last_error: Option<StoreError>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut is_noted = true;
    let Publication { bridge, route, .. } = &publication;
    while bridge.inflight.awaits_publish(id) {
        if Instant::now() >= publication.until {
            let last_error = last_error.map_or_else(String::new, |error| error.to_string());
            return publish::fail_undelivered(bridge, route, id, last_error).await;
        }
        let reading = catch_async(async {
            if !is_noted {
                bridge.store.messages_lost(&[id]).await?;
            }
            bridge.store.message(id).await
        });
        let Ok(message) = reading.await else {
            return publish::fail_panicked(bridge, route, id).await;
        };
        match message {
            Ok(Some(task)) => {
                bridge.inflight.learn_activity(id, &task.activity);
                return publish::recovered(publication, task, cause).await;
            }
            Err(StoreError::NoMessage | StoreError::Unreadable(_)) if cause == Cause::Lost => {
                return publish::fail_lost(bridge, route, id).await;
            }
            Err(error @ (StoreError::NoMessage | StoreError::Unreadable(_))) => {
                return publish::fail_undelivered(bridge, route, id, error.to_string()).await;
            }
            Ok(None) if cause == Cause::Unconfirmed => {
                bridge.inflight.on_publish(id, Event::Confirmed);
            }
            Ok(None) if !is_noted => {
                // The store refuses the note: another process has read that a worker has begun.
                bridge.inflight.on_sign(id, String::new());
            }
            Ok(None) => {
                // A confirm was noted after the loss, or this process has not heard yet that a worker has begun.
                is_noted = false;
                sleep(backoff.next_wait()).await;
            }
            Err(error) => {
                debug!(task = %id, %error, "could not read what is to be published; trying again");
                is_noted = true;
                last_error = Some(error);
                sleep(backoff.next_wait()).await;
            }
        }
    }
    publish::note_received(bridge, id).await;
}
