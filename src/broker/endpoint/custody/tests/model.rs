//! What was done with each task and what the custody answered. The model knows no rule but those that it checks.

use super::{
    super::super::custody_terms::{ConnectionId, Place, Released},
    Arc, DeliveryId, Due, Instant, Returned, Terms,
};
use crate::task::{Death, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// What the model knows of a task that has entered and has not ended.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) terms: Arc<Terms>,
    /// The last delivery and its connection.
    pub(super) delivery: Option<(DeliveryId, ConnectionId)>,
    /// Whether something came since the last delivery.
    pub(super) spoken: bool,
    /// Whether the last delivery was open while its connection was distrusted.
    pub(super) distrusted: bool,
    pub(super) foreign: bool,
    pub(super) failed: u32,
    pub(super) expires: Option<Instant>,
    /// How often it was completed or dead-lettered.
    pub(super) ends: u32,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) known: BTreeMap<TaskId, Known>,
    pub(super) deliveries: Vec<DeliveryId>,
    pub(super) turned: BTreeSet<Arc<str>>,
    pub(super) ended: BTreeSet<ConnectionId>,
}

impl Model {
    /// The task that a live delivery holds.
    pub(super) fn holder(&mut self, id: DeliveryId) -> Option<&mut Known> {
        let known = self.known.get_mut(&id.task)?;
        let is_last = known.delivery.is_some_and(|(last, _)| last == id);
        (is_last && known.place == Place::Out).then_some(known)
    }

    pub(super) fn pick(&self, which: usize) -> Option<DeliveryId> {
        let index = self.deliveries.len().checked_sub(which + 1)?;
        self.deliveries.get(index).copied()
    }

    pub(super) fn end(&mut self, task: TaskId) {
        if let Some(known) = self.known.get_mut(&task) {
            known.place = Place::Over;
            known.ends += 1;
            assert_eq!(known.ends, 1, "a task ends once");
        }
    }

    pub(super) fn drop_foreign(&mut self) {
        self.known
            .retain(|_, known| !known.foreign || matches!(known.place, Place::Out | Place::Grace));
    }

    pub(super) fn released(&mut self, released: &[Released]) {
        for Released { task, abandoned } in released {
            let known = self.known.get_mut(task).expect("a task in custody");
            assert_eq!(known.place, Place::Grace, "only a grace ends like this");
            let connection = known.delivery.map(|(_, connection)| connection);
            let gone = connection.is_some_and(|id| self.ended.contains(&id));
            assert_eq!(*abandoned, gone);
            known.place = Place::Released;
        }
    }

    pub(super) fn returned(&mut self, task: TaskId, returned: Returned, counts: bool) {
        let known = self.known.get_mut(&task).expect("a task in custody");
        assert!(!known.foreign, "another process's task waits nowhere here");
        known.failed += u32::from(counts);
        let past = known
            .terms
            .delivery_limit
            .is_some_and(|max| known.failed > max);
        match returned {
            Returned::Waits { count } => {
                assert_eq!((count, past), (known.failed, false));
                known.place = Place::Waiting;
            }
            Returned::DeadLetter(Death::DeliveryLimit) => {
                assert!(past);
                self.end(task);
            }
            Returned::DeadLetter(_) | Returned::Nothing => panic!("{returned:?}"),
        }
    }

    pub(super) fn due(&mut self, due: Due) {
        match due {
            Due::Complete(task) => {
                let known = &self.known[&task];
                assert_eq!(known.place, Place::Grace, "a worker acknowledged it");
                assert!(!known.spoken, "nothing came since its delivery");
                assert!(!known.distrusted && !self.turned.contains(&known.terms.route));
                self.end(task);
            }
            Due::TakenBack { task, count } => {
                assert_eq!(self.known[&task].place, Place::Out);
                self.returned(task, Returned::Waits { count }, true);
            }
            Due::DeadLetter(task, Death::Expired) => {
                assert_eq!(self.known[&task].place, Place::Waiting);
                self.end(task);
            }
            Due::DeadLetter(task, death) => {
                assert_eq!(self.known[&task].place, Place::Out);
                self.returned(task, Returned::DeadLetter(death), true);
            }
            Due::AnyConsumer(task) => assert_eq!(self.known[&task].place, Place::Waiting),
        }
    }
}
