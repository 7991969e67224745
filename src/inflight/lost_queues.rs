//! The queues that the broker has lost with the messages in them, and the tasks that waited there.

use super::{
    lifecycle::{Command, Event, State},
    table::{InflightTable, InflightTask},
};
use crate::{
    route::Route,
    task::{TaskId, Timeouts},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// Time after a loss in which tasks are adopted from processes that ended before it: with a shared store their leases run out
/// first.
const ADOPTION_TIME: Duration = Duration::from_secs(60);

/// Maximum difference between the clocks of two processes. What was published that shortly after a loss is published again, because
/// it may have been before.
const CLOCK_MARGIN: Duration = Duration::from_secs(5);

/// Time for which a loss is remembered. No publish takes so long.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The queues that were lost. Bounded by the number of queues that were in the configuration within a day.
#[derive(Debug, Default)]
pub struct LostQueues {
    queues: Mutex<HashMap<String, Loss>>,
    added: Notify,
}

/// The last loss of a queue.
#[derive(Debug)]
struct Loss {
    /// When the queue was missing. What was published before is lost.
    missing_at: Instant,
    missing_at_by_the_clock: SystemTime,
    told_at: Instant,
    /// Whether no process had a task that could wait in it.
    was_unused: bool,
    /// What is to be done about it; `None` if that is done.
    next: Option<LostQueue>,
}

/// A queue that was lost.
#[derive(Debug)]
pub struct LostQueue {
    /// The queue's name.
    pub queue: String,
    /// When it was missing. What was published before is lost.
    pub missing_at: Instant,
    /// The same by this computer's clock, if this process has found the loss, so that the others must be told.
    pub own_finding: Option<SystemTime>,
    /// The number of messages in it, if it may not be lost: a task for each may wait there, of this process or of another.
    pub ready: Option<usize>,
    /// Told once the store has noted the loss. Then the queue may be made again.
    pub noted: Vec<oneshot::Sender<()>>,
}

impl LostQueue {
    /// Adds an older loss of the queue that nobody has handled.
    fn include(&mut self, older: Self) {
        self.missing_at = self.missing_at.max(older.missing_at);
        self.own_finding = self.own_finding.max(older.own_finding);
        // A loss that is certain counts.
        self.ready = self.ready.zip(older.ready).map(|(ready, _)| ready);
        let awaited = (older.noted.into_iter()).filter(|noted| !noted.is_closed());
        self.noted.extend(awaited);
    }
}

impl LostQueues {
    /// Notes that a queue was missing at this time, with [`LostQueue::ready`]. `noted` is told once the store has noted that.
    pub fn add(
        &self,
        queue: String,
        missing_at: Instant,
        ready: Option<usize>,
        noted: Option<oneshot::Sender<()>>,
    ) {
        let now = SystemTime::now();
        let by_the_clock = now.checked_sub(missing_at.elapsed()).unwrap_or(now);
        let lost = LostQueue {
            queue,
            missing_at,
            own_finding: Some(by_the_clock),
            ready,
            noted: noted.into_iter().collect(),
        };
        self.note(lost, by_the_clock);
    }

    /// Notes that another process has found a queue to be missing, at this time by its clock. The other process may tell it twice.
    pub fn hear(&self, queue: String, by_the_clock: SystemTime, ready: Option<usize>) {
        let known = |loss: &Loss| loss.missing_at_by_the_clock >= by_the_clock;
        if self.queues.lock().get(&queue).is_some_and(known) {
            return;
        }
        let now = Instant::now();
        let ago = by_the_clock.elapsed().unwrap_or_default();
        let lost = LostQueue {
            queue,
            missing_at: now.checked_sub(ago).unwrap_or(now),
            own_finding: None,
            ready,
            noted: Vec::new(),
        };
        self.note(lost, by_the_clock);
    }

    fn note(&self, lost: LostQueue, by_the_clock: SystemTime) {
        let queue = lost.queue.clone();
        let mut loss = Loss {
            missing_at: lost.missing_at,
            told_at: Instant::now(),
            was_unused: false,
            missing_at_by_the_clock: by_the_clock,
            next: Some(lost),
        };
        let mut queues = self.queues.lock();
        if let Some(older) = queues.remove(&queue) {
            loss.missing_at = loss.missing_at.max(older.missing_at);
            loss.missing_at_by_the_clock = by_the_clock.max(older.missing_at_by_the_clock);
            if let (Some(next), Some(older)) = (&mut loss.next, older.next) {
                next.include(older);
            }
        }
        let is_needed = |loss: &Loss| loss.next.is_some() || loss.told_at.elapsed() < REMEMBERED;
        queues.retain(|_, loss| is_needed(loss));
        queues.insert(queue, loss);
        self.added.notify_one();
    }

    /// Notes that no process had a task that could wait in this queue when it was missing, as where nobody has used it before. The
    /// tasks that are adopted later were published later.
    pub fn was_unused(&self, lost: &LostQueue) {
        if let Some(loss) = self.queues.lock().get_mut(&lost.queue) {
            loss.was_unused =
                loss.next.is_none() && lost.own_finding == Some(loss.missing_at_by_the_clock);
        }
    }

    /// Whether what was published at this time may have gone to a queue of this name that was lost afterwards.
    #[must_use]
    pub fn is_lost_since(&self, queue: &str, published_at: Instant) -> bool {
        let queues = self.queues.lock();
        let loss = queues.get(queue);
        loss.is_some_and(|loss| published_at < loss.missing_at)
    }

    /// Whether a task that is adopted now, and that was polled at this time, waited in this queue when the queue was lost.
    #[must_use]
    pub fn has_lost(&self, queue: &str, polled_at: SystemTime) -> bool {
        let queues = self.queues.lock();
        queues.get(queue).is_some_and(|loss| {
            !loss.was_unused
                && loss.told_at.elapsed() < ADOPTION_TIME
                && polled_at
                    .checked_sub(CLOCK_MARGIN)
                    .is_none_or(|at| at < loss.missing_at_by_the_clock)
        })
    }

    /// Waits for a queue that was lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&self) -> LostQueue {
        loop {
            let next = (self.queues.lock().values_mut()).find_map(|loss| loss.next.take());
            match next {
                Some(lost) => return lost,
                None => self.added.notified().await,
            }
        }
    }
}

impl InflightTable {
    /// Notes that the broker has confirmed the message whose publish began at this time.
    pub fn on_confirmed(&self, id: TaskId, published_at: Instant) -> Command {
        let mut table = self.table();
        if let Some(entry) = table.open.get_mut(&id) {
            entry.published_at = Some(published_at);
        }
        table.step(id, Event::Confirmed)
    }

    /// Notes that a queue was lost. Returns the tasks of its routes that were published before, that the broker had confirmed
    /// and that no worker has begun: they must be published again. There are none if the queue has a message for each task that
    /// waits, newer ones included, and nobody else publishes into it.
    pub fn on_queue_lost(
        &self,
        lost: &LostQueue,
        others_publish: bool,
    ) -> Vec<(Arc<Route>, TaskId)> {
        let mut table = self.table();
        let waits_there = |entry: &InflightTask| {
            entry.schedule.is_waiting() && entry.route.uses_queue(&lost.queue)
        };
        let published_before = |entry: &InflightTask| {
            // Both processes may have found the same loss, and this one has published the message again.
            let is_known = |lost_at: Instant| lost.missing_at <= lost_at + CLOCK_MARGIN;
            let margin = match lost.own_finding.is_some() || entry.lost_at.is_some_and(is_known) {
                true => Duration::ZERO,
                false => CLOCK_MARGIN,
            };
            let before = |at: Instant| at < lost.missing_at + margin;
            entry.published_at.is_none_or(before)
        };
        let mut may_be_there = 0;
        let mut waiting = Vec::new();
        for (id, entry) in &table.open {
            if waits_there(entry) {
                may_be_there += 1;
                if published_before(entry) {
                    waiting.push(*id);
                }
            }
        }
        let ready = lost.ready.filter(|_| !others_publish);
        if ready.is_some_and(|ready| ready >= may_be_there) {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for id in waiting {
            if table.step(id, Event::MessageLost) == Command::PublishAgain
                && let Some(entry) = table.open.get(&id)
            {
                lost.push((Arc::clone(&entry.route), id));
            }
        }
        lost
    }

    /// The tasks that are being published again into this queue, because an earlier loss, or a person, said so. The store may not
    /// have noted that yet.
    #[must_use]
    pub fn being_republished(&self, queue: &str) -> Vec<TaskId> {
        let table = self.table();
        let is_under_way = |entry: &InflightTask| {
            entry.state == State::Publishing
                && entry.lost_at.is_some()
                && entry.route.uses_queue(queue)
        };
        let open = table.open.iter();
        open.filter(|(_, entry)| is_under_way(entry))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Notes that the message of a task was lost. True if it must be published again: the broker had confirmed it, and no worker
    /// has begun.
    pub fn on_message_lost(&self, id: TaskId) -> bool {
        let mut table = self.table();
        let waits = |entry: &InflightTask| entry.schedule.is_waiting();
        table.open.get(&id).is_some_and(waits)
            && table.step(id, Event::MessageLost) == Command::PublishAgain
    }

    /// Whether the broker has confirmed a message of a task whose publish began at this time or later.
    #[must_use]
    pub fn is_published_since(&self, id: TaskId, at: Instant) -> bool {
        let table = self.table();
        let entry = table.open.get(&id);
        (entry.and_then(|entry| entry.published_at)).is_some_and(|published| published >= at)
    }

    /// The timeouts of a task of which the broker has lost the message after a worker had got it. `None` if no worker has said that
    /// it has the task, or if the task has ended.
    #[must_use]
    pub fn received_before_loss(&self, id: TaskId) -> Option<Timeouts> {
        let table = self.table();
        let entry = table.open.get(&id)?;
        let is_working = entry.state == State::Dispatched && !entry.schedule.is_waiting();
        let has_answered = !entry.receipts.is_empty();
        (entry.lost_at.is_some() && (is_working || has_answered)).then_some(entry.timeouts)
    }

    /// The number of tasks of a route that were polled so long ago, that the broker has confirmed, and that no worker has begun. Those
    /// in a queue that the route had before a reload are not counted.
    #[must_use]
    pub fn waiting_for(&self, route: &Route, at_least: Duration) -> usize {
        let table = self.table();
        let waits = |entry: &&InflightTask| {
            entry.state == State::Dispatched
                && entry.schedule.is_waiting()
                && entry.route.name() == route.name()
                && entry.route.config.destination == route.config.destination
                && entry.since.elapsed() >= at_least
        };
        table.open.values().filter(waits).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "mail";

    #[tokio::test(start_paused = true)]
    async fn an_older_loss_does_not_replace_a_newer_one() {
        let lost = LostQueues::default();
        let newer = Instant::now() + Duration::from_secs(9);
        let older = Instant::now();
        let senders = [oneshot::channel(), oneshot::channel()];
        let [(first, mut noting), (second, mut noting_too)] = senders;
        lost.add(MAIL.to_owned(), newer, None, Some(first));
        lost.add(MAIL.to_owned(), older, Some(7), Some(second));
        let heard = SystemTime::now() + 2 * CLOCK_MARGIN;
        lost.hear(MAIL.to_owned(), heard, Some(7));
        assert!(lost.is_lost_since(MAIL, older));
        let next = lost.next().await;
        assert_eq!(next.missing_at, newer);
        assert!(next.own_finding.is_some(), "the others must be told");
        assert_eq!(next.ready, None, "one loss is certain");
        for noted in next.noted {
            noted.send(()).expect("it is awaited");
        }
        assert_eq!((noting.try_recv(), noting_too.try_recv()), (Ok(()), Ok(())));
        lost.hear(MAIL.to_owned(), heard, None);
        assert!(futures_util::poll!(Box::pin(lost.next())).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_that_is_handled_is_forgotten_after_a_day() {
        let lost = LostQueues::default();
        lost.add(MAIL.to_owned(), Instant::now(), None, None);
        tokio::time::advance(REMEMBERED).await;
        lost.add("first".to_owned(), Instant::now(), None, None);
        assert_eq!(lost.queues.lock().len(), 2, "nobody has handled it");
        for _ in 0..2 {
            lost.next().await;
        }
        tokio::time::advance(REMEMBERED).await;
        lost.add("second".to_owned(), Instant::now(), None, None);
        assert_eq!(lost.queues.lock().len(), 1);
    }

    /// The client asks again and again while the token store is away.
    #[tokio::test]
    async fn who_waits_no_longer_is_forgotten() {
        let lost = LostQueues::default();
        let mut noting = Vec::new();
        for _ in 0..3 {
            noting.clear();
            let (noted, awaited) = oneshot::channel();
            noting.push(awaited);
            lost.add(MAIL.to_owned(), Instant::now(), None, Some(noted));
        }
        assert_eq!(lost.next().await.noted.len(), 1);
    }
}
