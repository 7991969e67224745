//! What an event of a task means for the legs that its trace shows.

use super::{
    lifecycle::{Event, State},
    table::InflightTask,
};

impl InflightTask {
    /// Notes an event after which the task is in its state. `before`: the state before it.
    pub(super) fn trace_leg(&mut self, event: Event, before: State) {
        let (leg, task) = (&mut self.leg_span, &self.span);
        let begins_settling = before != State::Settling && self.state == State::Settling;
        match (event, self.state) {
            (Event::Confirmed, State::Dispatched) if before == State::Publishing => {
                leg.confirmed(task);
            }
            (
                Event::Delivered | Event::Beat | Event::Released,
                State::Publishing | State::Dispatched,
            ) => {
                leg.started(task);
            }
            (Event::CameBack, State::Dispatched) => leg.came_back(task),
            (Event::MessageLost, State::Publishing) if before == State::Dispatched => {
                leg.ended("lost");
            }
            (Event::FinalReply, _) if begins_settling => leg.ended("answered"),
            (Event::Acknowledged, _) if begins_settling => leg.ended("acknowledged"),
            (_, _) if begins_settling => leg.ended("given-up"),
            // The span ends with the entry, if the task does.
            (_, _) => {}
        }
    }
}
