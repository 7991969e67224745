//! The alarms that are due.

use crate::{
    clock::Micros,
    world::{deadlines::Alarm, state::World},
};

impl World {
    /// Does everything that is due at or before `now`.
    pub(crate) fn advance(&mut self, now: Micros) {
        while let Some((at, alarm)) = self.deadlines.take_due(now) {
            match alarm {
                Alarm::PollEnds(poll) => self.end_poll(poll),
                Alarm::Timeout(task, timeout) => self.check_timeout(at, task, timeout),
                Alarm::Retry(execution) => self.retry(at, execution),
            }
        }
    }
}
