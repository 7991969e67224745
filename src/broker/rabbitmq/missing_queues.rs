//! The queues of tasks that the broker has lost, over all generations.

use crate::broker::Inbound;
use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

/// Timeout for the bridge's note of a loss.
const NOTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for which the loss of all queues, and who was told of it, is remembered. A queue of a route is looked at every few seconds.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// See the module. Bounded by the number of queues that are in the configuration, or were within a day.
#[derive(Default)]
pub(super) struct MissingQueues(Mutex<State>);

#[derive(Default)]
struct State {
    /// The queues that somebody else must make: those that did not exist when they were last looked at, and when that was.
    missing: HashMap<String, Instant>,
    /// When the reply queue was missing for the last time.
    lost_all: Option<Instant>,
    /// The queues of whose loss the bridge was told since then.
    told: HashMap<String, Instant>,
}

impl State {
    /// When the queue was lost, and whether it was missing itself; `None` if it was not lost, or if the bridge was told.
    fn lost(&self, queue: &str) -> Option<(Instant, bool)> {
        let is_new = |at: &Instant| at.elapsed() < REMEMBERED && !self.told.contains_key(queue);
        let all = self.lost_all.filter(is_new);
        let missing = self.missing.get(queue).copied();
        Some((missing.max(all)?, missing.is_some()))
    }

    fn told(&mut self, queue: &str) {
        self.missing.remove(queue);
        self.told.insert(queue.to_owned(), Instant::now());
        // By now the loss of all queues that they were told of is too old as well.
        self.told.retain(|_, at| at.elapsed() < REMEMBERED);
    }
}

impl MissingQueues {
    /// Notes that a queue does not exist that somebody else must make.
    pub(super) fn add(&self, queue: &str) {
        let mut state = self.0.lock();
        state.missing.insert(queue.to_owned(), Instant::now());
    }

    /// Notes that the reply queue does not exist. Then the broker has lost all queues, or at least replies to the tasks in them. A
    /// queue of tasks alone would not tell: a worker that declares it may have been faster.
    pub(super) fn lose_all(&self) {
        let mut state = self.0.lock();
        state.lost_all = Some(Instant::now());
        state.told.clear();
    }

    /// No route has this queue any more, so nobody waits for it.
    pub(super) fn leave(&self, queue: &str) {
        self.0.lock().missing.remove(queue);
    }

    /// Tells the bridge that a queue does not exist. True once the loss is noted, so that the queue can be declared.
    pub(super) async fn tell_missing(&self, queue: &str, inbound: &mpsc::Sender<Inbound>) -> bool {
        let (noted, noting) = oneshot::channel();
        let lost = Inbound::QueueLost {
            queue: queue.to_owned(),
            missing_at: Instant::now(),
            ready: None,
            noted: Some(noted),
        };
        let telling = async { inbound.send(lost).await.is_ok() && noting.await.is_ok() };
        let told = timeout(NOTE_TIMEOUT, telling).await == Ok(true);
        if told {
            self.0.lock().told(queue);
        }
        told
    }

    /// Notes that a queue exists, with so many messages. If it was lost before, the bridge is told.
    pub(super) async fn found(&self, queue: &str, ready: u64, inbound: &mpsc::Sender<Inbound>) {
        if self.0.lock().lost(queue).is_none() {
            return;
        }
        // The place comes first: a caller that is dropped while it waits for a place loses nothing.
        let Ok(place) = inbound.reserve().await else {
            return;
        };
        let mut state = self.0.lock();
        if let Some((missing_at, was_missing)) = state.lost(queue) {
            state.told(queue);
            place.send(Inbound::QueueLost {
                queue: queue.to_owned(),
                missing_at,
                ready: (!was_missing).then(|| usize::try_from(ready).unwrap_or(usize::MAX)),
                noted: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_there_again_is_told_once() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(2);
        missing.found("payments", 7, &inbound).await;
        assert!(told.try_recv().is_err(), "it was never missing");
        missing.add("payments");
        missing.add("payments");
        missing.found("mail", 7, &inbound).await;
        assert!(told.try_recv().is_err(), "it is still missing");
        tokio::join!(
            missing.found("payments", 7, &inbound),
            missing.found("payments", 7, &inbound)
        );
        let item = told.try_recv().expect("told");
        assert!(
            matches!(item, Inbound::QueueLost { queue, ready: None, .. } if queue == "payments")
        );
        assert!(told.try_recv().is_err(), "told twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_not_made_again_before_its_loss_is_noted() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(2);
        assert!(!missing.tell_missing("payments", &inbound).await, "in time");
        let mut telling = Box::pin(missing.tell_missing("payments", &inbound));
        assert!(futures_util::poll!(&mut telling).is_pending());
        for is_noted in [false, true] {
            let Some(Inbound::QueueLost { noted, .. }) = told.recv().await else {
                panic!("told");
            };
            let noted = noted.expect("the client waits").send(());
            assert_eq!(noted.is_ok(), is_noted, "the first waits no longer");
        }
        assert!(telling.await);
        missing.found("payments", 0, &inbound).await;
        assert!(told.try_recv().is_err(), "told twice");
    }

    #[tokio::test]
    async fn without_the_reply_queue_each_queue_is_lost_once() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(9);
        missing.found("payments", 7, &inbound).await;
        for _ in 0..2 {
            missing.lose_all();
            for queue in ["payments", "mail", "payments"] {
                missing.found(queue, 7, &inbound).await;
            }
            for expected in ["payments", "mail"] {
                let item = told.try_recv().expect("told");
                assert!(matches!(
                    item,
                    Inbound::QueueLost { queue, ready: Some(7), .. } if queue == expected
                ));
            }
            assert!(told.try_recv().is_err(), "told twice");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_told_is_forgotten_only_after_the_loss_is() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(9);
        missing.lose_all();
        missing.found("payments", 7, &inbound).await;
        assert!(told.try_recv().is_ok());
        tokio::time::advance(REMEMBERED).await;
        for queue in ["mail", "payments"] {
            missing.found(queue, 7, &inbound).await;
            assert!(told.try_recv().is_err(), "{queue}: told of an old loss");
        }
        missing.0.lock().told("refunds");
        assert_eq!(
            missing.0.lock().told.len(),
            1,
            "it keeps the others for ever"
        );
    }

    #[tokio::test]
    async fn a_queue_that_no_route_has_is_not_waited_for() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(1);
        missing.add("payments");
        missing.leave("payments");
        missing.found("payments", 7, &inbound).await;
        assert!(told.try_recv().is_err());
        assert!(missing.0.lock().missing.is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_for_a_place_loses_nothing() {
        let missing = MissingQueues::default();
        let (inbound, mut told) = mpsc::channel(1);
        let full = || Inbound::QueueLost {
            queue: "mail".to_owned(),
            missing_at: Instant::now(),
            ready: None,
            noted: None,
        };
        inbound.try_send(full()).expect("a place");
        missing.add("payments");
        let mut waiting = Box::pin(missing.found("payments", 7, &inbound));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        told.recv().await.expect("the first");
        missing.found("payments", 7, &inbound).await;
        assert!(told.try_recv().is_ok());
    }
}
