//! Several processes on one store: which tasks are still this one's, and what to do with a reply to another's.
//!
//! All processes read one queue of replies, so most replies come to a process that does not have the task. One that ends a
//! task brings the task with it: the process claims it, and settles it as its own. A sign of life is handed on to the
//! process that has the task, unless that is dead.

use crate::{
    backoff::Backoff,
    bridge::Bridge,
    broker::Delivery,
    flights::{Standing, Status},
    recovery::{self, Unpublished},
    reply,
    shutdown::Phase,
    store::{Claim, Kept, LOOK_EVERY, News, PassedOn, Record, Shared, StoreError},
    task::TaskId,
};
use futures_util::future;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{debug, info, warn};

/// How often a process looks for the tasks of dead ones.
const ADOPT_EVERY: Duration = Duration::from_millis(250);
/// A process that has not renewed its lease for this time may be dead. More than [`Shared::is_anyone_silent`] goes by.
const SILENCE: Duration = Duration::from_millis(1_200);
/// While the store is away, other processes hear workers of this one's tasks and can't say so: for so long these workers are
/// taken to be alive, and that is told so often.
const PRESUMED_FOR: Duration = Duration::from_secs(600);
const PRESUME_EVERY: Duration = Duration::from_secs(2);
/// How many tasks are asked after at once when a lease has lapsed.
const SORTED_AT_ONCE: usize = 500;
/// No more of what a worker says is handed on; AWS takes no more, in characters.
const MAX_DETAILS: usize = 2_048;
/// How long a reply to a task of a route that is not configured here is held before another process may have it.
const HELD: Duration = Duration::from_secs(5);

/// Whether the tasks of this process are still its own, as of a moment ago.
///
/// A process that was frozen may have lost them meanwhile, and should not heartbeat before it knows.
#[derive(Debug)]
pub struct Certainty(watch::Sender<Option<Instant>>);

impl Default for Certainty {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl Certainty {
    /// What was known so long ago is not certain.
    const STALE: Duration = Duration::from_secs(3);

    /// It was looked.
    fn looked(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// Waits until it was looked lately. Where nobody shares the store, that is at once.
    pub async fn wait(&self) {
        let certain = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() < Self::STALE);
        let mut looked = self.0.subscribe();
        drop(timeout(Self::STALE, looked.wait_for(certain)).await);
    }
}

/// Keeps the lease and follows what others do, and takes on the tasks of those that die; nothing where the store is not
/// shared.
pub async fn run(bridge: Arc<Bridge>, phase: watch::Receiver<Phase>) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    tokio::join!(keep(&bridge, shared), adopt(&bridge, phase));
}

/// At the start: waits until no process may be dead and is not known to be. A process that was killed and started again was
/// just such a one.
pub async fn all_speak(bridge: &Bridge) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    sleep(SILENCE).await;
    while !matches!(shared.is_anyone_silent().await, Ok(false)) {
        sleep(LOOK_EVERY).await;
    }
}

async fn keep(bridge: &Bridge, shared: &dyn Shared) {
    let mut unsure = Vec::new();
    let (mut away_since, mut presumed) = (None, Instant::now());
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match shared.look().await {
            Ok(look) => {
                if look.lapsed {
                    unsure = bridge.flights.ids();
                    warn!(
                        tasks = unsure.len(),
                        "the lease on the tasks ran out; looking which are still this process's"
                    );
                }
                for news in look.news {
                    take(bridge, news);
                }
                let before = unsure.len();
                sort_out(bridge, shared, &mut unsure).await;
                if unsure.is_empty() {
                    bridge.certainty.looked();
                } else if unsure.len() < before {
                    tick.reset_immediately();
                }
                away_since = None;
            }
            Err(error) => {
                // It shows in `/readyz`, and stops the polling. What is in flight goes on from memory.
                debug!(%error, "could not renew the lease");
                bridge.certainty.looked();
                let away = away_since.get_or_insert_with(Instant::now).elapsed();
                if (PRESUME_EVERY..PRESUMED_FOR).contains(&away)
                    && presumed.elapsed() >= PRESUME_EVERY
                {
                    presumed = Instant::now();
                    bridge.flights.presume_alive();
                }
            }
        }
    }
}

fn take(bridge: &Bridge, news: News) {
    match news {
        News::Taken(id) => bridge.flights.release(id),
        News::Sign { id, details } => {
            if let Standing::Open(route) = bridge.flights.standing(id) {
                route.metrics.replied("alive");
                let details = route.source.fit_details(&details);
                bridge.flights.on_sign(id, details);
            }
        }
    }
}

/// After a lapse: asks after some of the tasks of which this process is no longer sure.
async fn sort_out(bridge: &Bridge, shared: &dyn Shared, unsure: &mut Vec<TaskId>) {
    let some = unsure.split_off(unsure.len().saturating_sub(SORTED_AT_ONCE));
    let asked = some.into_iter().map(|id| async move {
        let record = bridge.flights.record(id)?;
        Some((id, shared.keep(&record).await))
    });
    let mut failed = Vec::new();
    for (id, kept) in future::join_all(asked).await.into_iter().flatten() {
        match kept {
            Ok(Kept::Ours) => {}
            Ok(Kept::Theirs) => bridge.flights.release(id),
            Ok(Kept::Ended) => {
                bridge.flights.release(id);
                bridge.flights.remember_ended([id]);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask whose a task is; trying again");
                failed.push(id);
            }
        }
    }
    // Last, so that the others come first.
    unsure.splice(0..0, failed);
}

/// Until the process shuts down, and leaves its own tasks to the others.
async fn adopt(bridge: &Arc<Bridge>, phase: watch::Receiver<Phase>) {
    let mut tick = interval(ADOPT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while phase.borrow().polls() {
        tick.tick().await;
        let mut unpublished = Unpublished::new();
        if let Err(error) = recovery::adopt(bridge, &mut unpublished).await {
            debug!(%error, "could not look for tasks of dead processes");
        }
        if !unpublished.is_empty() {
            let bridge = Arc::clone(bridge);
            tokio::spawn(async move { recovery::republish(&bridge, unpublished).await });
        }
    }
}

/// What a reply to a task of another process met.
enum Met {
    /// It can be read like any other now.
    Here,
    /// The process that has the task will hear of it.
    PassedOn(Status),
    /// No process with its route has read it yet.
    OtherRoute,
    /// Nobody knows the task.
    Unknown,
}

/// Sees to a reply to a task that is not in flight here. It stays unacknowledged until it is known whose the task is.
pub async fn take_reply(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let met = loop {
        match meet(&bridge, shared, id, &delivery).await {
            Ok(met) => break met,
            // It will be delivered again.
            Err(_) if !delivery.receipt.is_usable() => return,
            // The next one makes up for it; and results shall not wait behind it.
            Err(_) if reply::is_sign(&delivery) && bridge.store.trouble().is_some() => {
                break Met::PassedOn(Status::Alive);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask whose the task of a reply is; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    };
    match met {
        Met::Here => reply::take(&bridge, delivery),
        Met::PassedOn(status) => reply::answer_for_another(&bridge, id, delivery, status),
        Met::Unknown => reply::park_unknown(&bridge, delivery),
        Met::OtherRoute => {
            info!(task = %id, "a reply to a task of a route that is not configured here; leaving it to another process");
            sleep(HELD).await;
            delivery.receipt.requeue().await;
        }
    }
}

async fn meet(
    bridge: &Bridge,
    shared: &dyn Shared,
    id: TaskId,
    delivery: &Delivery,
) -> Result<Met, StoreError> {
    // What is not UTF-8 is to be parked, by whoever has the task.
    if reply::is_sign(delivery)
        && let Ok(details) = str::from_utf8(&delivery.body)
    {
        let details: String = details.chars().take(MAX_DETAILS).collect();
        match shared.pass_on(id, &details).await? {
            PassedOn::To(status) => return Ok(Met::PassedOn(status)),
            PassedOn::Orphan | PassedOn::Ended | PassedOn::Unknown => {}
        }
    }
    Ok(match shared.claim(id).await? {
        Claim::Ours(record) => match bridge.route(&record.route) {
            Some(route) => {
                // Whoever replies has its message.
                let published = true;
                bridge.flights.adopt(
                    Record {
                        published,
                        ..record
                    },
                    route,
                );
                Met::Here
            }
            None => Met::OtherRoute,
        },
        Claim::OtherRoute => Met::OtherRoute,
        Claim::Ended => {
            bridge.flights.remember_ended([id]);
            Met::Here
        }
        Claim::Unknown => Met::Unknown,
    })
}
