//! The lifecycle of a task as a pure function: a state and an event give the next state and one command.
//!
//! Everything that can happen to a task in flight, in any order, is a row of [`step`]. The modules that carry out the commands
//! (`intake/publish`, `settle/replies`, `settle/outcome`, `settle/heartbeat`) decide nothing.

/// The state of a task in flight. A task that is not in the table has ended, or never was a task of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The message is being published, and the broker has not confirmed it yet. A worker may have received it already.
    Publishing,
    /// The broker has the message, or a worker does.
    Dispatched,
    /// An outcome is being sent to AWS.
    Settling,
    /// The task is settled at AWS, by the bridge or without it.
    Ended,
}

/// An event in the lifecycle of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker confirmed the message.
    Confirmed,
    /// No queue takes the message, although its publish was confirmed.
    Returned,
    /// An attempt to publish failed: unroutable, nacked or unconfirmed.
    PublishFailed,
    /// The bridge ends the task with an outcome of its own.
    GiveUp,
    /// A reply came that ends the task.
    FinalReply,
    /// A sign of life of a worker came.
    Beat,
    /// AWS answered to a heartbeat that the token is dead.
    Gone,
    /// The settlement has ended: accepted, gone, rejected or expired.
    Settled,
    /// A worker has the message.
    Delivered,
    /// The message waits for a worker again.
    CameBack,
    /// A worker acknowledged the message, and nothing was said about the task since its delivery.
    Acknowledged,
    /// A worker has begun for good. The message is not delivered again.
    Released,
    /// The connection of a worker that had begun for good has ended.
    Abandoned,
    /// The broker has lost the message, though it had confirmed it, and no worker has begun.
    MessageLost,
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing.
    Nothing,
    /// Publish the message again, with the same id.
    PublishAgain,
    /// Settle the task with the outcome that came with the event.
    Settle,
    /// Keep this reply in place of the kept one. The settlement under way decides about both.
    Hold,
    /// Send a heartbeat to AWS.
    Heartbeat,
    /// Announce to the worker that the task is gone, and remove the task.
    AnnounceGone,
    /// Acknowledge the kept reply, and remove the task.
    CleanUp,
    /// Change the heartbeat schedule.
    Reschedule,
    /// Change the heartbeat schedule, and note the event in the store.
    Note,
}

/// The next state and the command.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Command) {
    use Command as C;
    use Event as E;
    use State as S;

    match (state, event) {
        (S::Publishing, E::Confirmed) => (S::Dispatched, C::Nothing),
        (S::Publishing, E::PublishFailed) => (S::Publishing, C::PublishAgain),

        // The return is known only after the confirm. The message is no longer in memory, so it can't be published again.
        (S::Dispatched, E::Returned) => (S::Settling, C::Settle),
        // The return belongs to an attempt that failed. The next attempt is coming.
        (S::Publishing, E::Returned) => (S::Publishing, C::Nothing),

        (S::Dispatched, E::MessageLost) => (S::Publishing, C::PublishAgain),

        // A reply may come before the confirm, or without any confirm.
        (S::Publishing | S::Dispatched, E::FinalReply | E::GiveUp) => (S::Settling, C::Settle),
        (S::Publishing | S::Dispatched, E::Beat) => (state, C::Heartbeat),
        (S::Publishing | S::Dispatched, E::Gone) => (S::Ended, C::AnnounceGone),

        // The broker has the message, or a worker had it, even if the publish has not returned yet.
        (S::Publishing | S::Dispatched, E::Delivered | E::CameBack | E::Released) => {
            (S::Dispatched, C::Note)
        }
        (S::Publishing | S::Dispatched, E::Acknowledged) => (S::Settling, C::Settle),
        (S::Publishing | S::Dispatched, E::Abandoned) => (state, C::Reschedule),

        (S::Settling, E::FinalReply) => (S::Settling, C::Hold),
        (S::Settling, E::Settled) => (S::Ended, C::CleanUp),

        // While the task is being settled, events of the message and signs of life no longer matter. The call that settles
        // gets AWS's answer about a dead token itself.
        (
            S::Settling,
            E::Confirmed
            | E::Returned
            | E::PublishFailed
            | E::GiveUp
            | E::Beat
            | E::Gone
            | E::Delivered
            | E::CameBack
            | E::Acknowledged
            | E::Released
            | E::Abandoned
            | E::MessageLost,
        )
        // The publish under way brings the message to the broker again.
        | (S::Publishing, E::MessageLost)
        | (S::Dispatched, E::Confirmed | E::PublishFailed)
        | (S::Publishing | S::Dispatched, E::Settled)
        | (S::Ended, _) => (state, C::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command as C, Event as E, State as S, *};
    use proptest::prelude::*;

    #[test]
    fn the_whole_table() {
        #[rustfmt::skip]
        let rows = [
            // the normal case
            (S::Publishing, E::Confirmed,     S::Dispatched, C::Nothing),
            (S::Dispatched, E::Beat,          S::Dispatched, C::Heartbeat),
            (S::Dispatched, E::FinalReply,    S::Settling,   C::Settle),
            (S::Settling,   E::Settled,       S::Ended,      C::CleanUp),
            // the broker refuses or returns the message
            (S::Publishing, E::PublishFailed, S::Publishing, C::PublishAgain),
            (S::Publishing, E::Returned,      S::Publishing, C::Nothing),
            (S::Publishing, E::GiveUp,        S::Settling,   C::Settle),
            (S::Dispatched, E::GiveUp,        S::Settling,   C::Settle),
            (S::Dispatched, E::Returned,      S::Settling,   C::Settle),
            (S::Dispatched, E::PublishFailed, S::Dispatched, C::Nothing),
            (S::Dispatched, E::Confirmed,     S::Dispatched, C::Nothing),
            // the broker loses the message
            (S::Dispatched, E::MessageLost,   S::Publishing, C::PublishAgain),
            (S::Publishing, E::MessageLost,   S::Publishing, C::Nothing),
            (S::Settling,   E::MessageLost,   S::Settling,   C::Nothing),
            // a worker is faster than the confirm
            (S::Publishing, E::Beat,          S::Publishing, C::Heartbeat),
            (S::Publishing, E::FinalReply,    S::Settling,   C::Settle),
            // nothing interrupts a settlement
            (S::Settling,   E::Confirmed,     S::Settling,   C::Nothing),
            (S::Settling,   E::Returned,      S::Settling,   C::Nothing),
            (S::Settling,   E::PublishFailed, S::Settling,   C::Nothing),
            (S::Settling,   E::GiveUp,        S::Settling,   C::Nothing),
            (S::Settling,   E::Beat,          S::Settling,   C::Nothing),
            (S::Settling,   E::Gone,          S::Settling,   C::Nothing),
            (S::Settling,   E::FinalReply,    S::Settling,   C::Hold),
            // AWS says that the task is gone
            (S::Publishing, E::Gone,          S::Ended,      C::AnnounceGone),
            (S::Dispatched, E::Gone,          S::Ended,      C::AnnounceGone),
            // the broker tells of a delivery, perhaps before the publish returns
            (S::Publishing, E::Delivered,     S::Dispatched, C::Note),
            (S::Dispatched, E::Delivered,     S::Dispatched, C::Note),
            (S::Publishing, E::CameBack,      S::Dispatched, C::Note),
            (S::Dispatched, E::CameBack,      S::Dispatched, C::Note),
            (S::Publishing, E::Released,      S::Dispatched, C::Note),
            (S::Dispatched, E::Released,      S::Dispatched, C::Note),
            (S::Publishing, E::Acknowledged,  S::Settling,   C::Settle),
            (S::Dispatched, E::Acknowledged,  S::Settling,   C::Settle),
            (S::Publishing, E::Abandoned,     S::Publishing, C::Reschedule),
            (S::Dispatched, E::Abandoned,     S::Dispatched, C::Reschedule),
            (S::Settling,   E::Delivered,     S::Settling,   C::Nothing),
            (S::Settling,   E::CameBack,      S::Settling,   C::Nothing),
            (S::Settling,   E::Acknowledged,  S::Settling,   C::Nothing),
            (S::Settling,   E::Released,      S::Settling,   C::Nothing),
            (S::Settling,   E::Abandoned,     S::Settling,   C::Nothing),
        ];
        for (state, event, next, command) in rows {
            assert_eq!(step(state, event), (next, command), "{state:?} {event:?}");
        }
    }

    fn any_event() -> impl Strategy<Value = E> {
        prop_oneof![
            Just(E::Confirmed),
            Just(E::Returned),
            Just(E::PublishFailed),
            Just(E::GiveUp),
            Just(E::FinalReply),
            Just(E::Beat),
            Just(E::Gone),
            Just(E::Settled),
            Just(E::Delivered),
            Just(E::CameBack),
            Just(E::Acknowledged),
            Just(E::Released),
            Just(E::Abandoned),
            Just(E::MessageLost),
        ]
    }

    proptest! {
        /// For any events in any order, a task is settled at most once and removed at most once.
        #[test]
        fn a_task_is_settled_and_removed_at_most_once(events in prop::collection::vec(any_event(), 0..40)) {
            let (mut state, mut settled, mut removed) = (S::Publishing, 0, 0);
            for event in events {
                let (next, command) = step(state, event);
                settled += usize::from(command == C::Settle);
                removed += usize::from(matches!(command, C::CleanUp | C::AnnounceGone));
                prop_assert!(state != S::Ended || (next == S::Ended && command == C::Nothing));
                prop_assert_eq!(next == S::Ended, removed == 1);
                state = next;
            }
            prop_assert!(settled <= 1 && removed <= 1);
        }

        /// A final reply to a task in flight is never ignored: it begins a settlement, or the settlement under way keeps it.
        #[test]
        fn a_final_reply_is_never_ignored(events in prop::collection::vec(any_event(), 0..40)) {
            let mut state = S::Publishing;
            for event in events {
                state = step(state, event).0;
            }
            let command = step(state, E::FinalReply).1;
            prop_assert!(state == S::Ended || matches!(command, C::Settle | C::Hold));
        }
    }
}
