//! What an acknowledgement, a return and a reply mean for a task.
//!
//! A false success is the worst outcome, since nobody sees it. A bare acknowledgement completes its task, and whatever
//! casts doubt on it makes it a release instead.

use super::{
    custody::Custody,
    custody_table::State,
    custody_tasks::{avoid, overdue},
    custody_terms::{
        AckMode, Acked, ConnectionId, DeliveryId, Heard, ReleaseCause, Released, ReturnCause,
        Returned, Said,
    },
};
use crate::task::{Death, TaskId};
use tokio::time::Instant;

impl Custody {
    /// Notes an acknowledgement.
    pub(crate) fn ack(&mut self, delivery: DeliveryId, now: Instant) -> Acked {
        let task = delivery.task;
        let Some((entry, holder)) = self.tasks.table.holder(delivery) else {
            return Acked::Nothing;
        };
        let connection = Some(holder.connection);
        let distrusted = self
            .tasks
            .connections
            .distrusts(holder.connection, delivery.number);
        let cause = match self.tasks.early_acks.mode(&entry.terms) {
            AckMode::Releases => ReleaseCause::Mode,
            AckMode::Completes { .. } if holder.spoken => ReleaseCause::Spoken,
            AckMode::Completes { .. } if distrusted => ReleaseCause::Distrust,
            AckMode::Completes { .. } => {
                let grace = self.tasks.graces.start(task, entry.terms.ack_grace, now);
                self.tasks.set(task, State::Grace { connection, grace });
                return Acked::Grace;
            }
        };
        if entry.foreign {
            self.tasks.remove(task);
            return Acked::Nothing;
        }
        self.tasks.set(task, State::Released { connection });
        Acked::Released(cause)
    }

    /// Notes that a delivery returns without an acknowledgement.
    pub(crate) fn returned(
        &mut self,
        delivery: DeliveryId,
        cause: ReturnCause,
        now: Instant,
    ) -> Returned {
        let Some((entry, holder)) = self.tasks.table.holder(delivery) else {
            return Returned::Nothing;
        };
        let avoid = avoid(holder.consumer, now);
        match cause {
            ReturnCause::Rejected if entry.foreign => {
                self.tasks.remove(delivery.task);
                Returned::Nothing
            }
            ReturnCause::Rejected => {
                self.tasks.set(delivery.task, State::Over);
                Returned::DeadLetter(Death::Rejected)
            }
            ReturnCause::Requeued | ReturnCause::Recovered => {
                self.tasks.wait_again(delivery.task, true, avoid)
            }
            ReturnCause::Lost => self.tasks.wait_again(delivery.task, true, None),
            ReturnCause::Closed => self.tasks.wait_again(delivery.task, false, None),
        }
    }

    /// Notes that something came about a task. To be called when it has been read, before anything is done with it.
    pub(crate) fn said(&mut self, task: TaskId, what: Said, now: Instant) -> Heard {
        let mut heard = Heard::default();
        if what != Said::Parked {
            heard.early_ack = self.tasks.early_acks.proof(task);
        }
        if let Some(proof) = heard.early_ack.as_ref().filter(|proof| proof.turned) {
            heard.released = self.tasks.release_all_of(&proof.route);
        }
        let Some(entry) = self.tasks.table.get_mut(task) else {
            return heard;
        };
        match (what, &mut entry.state) {
            (_, State::Over) => {}
            (Said::Final, state) => {
                heard.leaves_queue = matches!(state, State::Waiting { .. });
                self.tasks.finish(task);
            }
            (Said::Sign | Said::Parked, State::Waiting { .. }) => {}
            (Said::Sign | Said::Parked, State::Out(holder)) => {
                holder.spoken = true;
                holder.overdue = overdue(&entry.terms, now);
                self.tasks.table.rearm(task);
            }
            (Said::Parked, State::Released { .. }) => {}
            (Said::Parked, State::Grace { .. }) => heard.released.extend(self.tasks.release(task)),
            (Said::Sign, State::Grace { .. } | State::Released { .. }) => {
                heard.released.extend(self.tasks.release(task));
                self.tasks.set(task, State::Released { connection: None });
            }
        }
        heard
    }

    /// Notes that a reply with an unknown id came on a connection. No acknowledgement of its open deliveries completes a
    /// task. Returns the tasks whose graces have ended with a release.
    pub(crate) fn distrust(&mut self, connection: ConnectionId) -> Vec<Released> {
        let graces = self.tasks.connections.distrust(connection, self.deliveries);
        graces
            .into_iter()
            .filter_map(|task| self.tasks.release(task))
            .collect()
    }
}
