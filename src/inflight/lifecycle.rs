//! The life of a task as a pure function: a state and an event give the next state and one command.
//!
//! Everything that can happen to a task in flight, in whatever order the broker, AWS and the worker
//! choose, is a row of [`step`]. Who carries the commands out (`dispatch`, `reply`, `heartbeat`, `settle`)
//! decides nothing.

/// Where a task in flight stands. A task that is not in the table of flights has ended, or was never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way to the broker, which has not confirmed it yet. A worker may have it all the same.
    Publishing,
    /// The broker holds it, or a worker does.
    Dispatched,
    /// An outcome is on its way to AWS.
    Settling,
    /// AWS has settled it, by us or without us.
    Ended,
}

/// What can happen to a task in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker confirmed the message.
    Confirmed,
    /// No queue takes the message, though its publish was confirmed.
    Returned,
    /// An attempt to publish came to nothing: unroutable, nacked or unconfirmed.
    PublishFailed,
    /// No more attempts: the bridge ends the task with an outcome of its own.
    GiveUp,
    /// A reply that ends the task.
    FinalReply,
    /// A reply that says the worker is alive.
    Beat,
    /// AWS said, in answer to a heartbeat, that the token is dead.
    Gone,
    /// The settlement is over: accepted, found dead, or past the deadline.
    Settled,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing.
    Nothing,
    /// Publish the message once more, with the same id.
    PublishAgain,
    /// Begin to settle with the outcome that came with the event.
    Settle,
    /// A settlement is under way: keep this reply in place of the one held, and answer for both at its end.
    Hold,
    /// Tell AWS that the worker is alive.
    Heartbeat,
    /// Tell the worker that nobody waits for it any more, and forget the task.
    AnnounceGone,
    /// Acknowledge the reply held, and forget the task.
    CleanUp,
}

/// The next state and the one thing to do.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Command) {
    use Command as C;
    use Event as E;
    use State as S;

    match (state, event) {
        (S::Publishing, E::Confirmed) => (S::Dispatched, C::Nothing),
        (S::Publishing, E::PublishFailed) => (S::Publishing, C::PublishAgain),

        // It is learnt after the confirm, when the message's body is no longer at hand.
        (S::Publishing | S::Dispatched, E::Returned) => (S::Settling, C::Settle),

        // A reply may come before the confirm, and even in place of one.
        (S::Publishing | S::Dispatched, E::FinalReply | E::GiveUp) => (S::Settling, C::Settle),
        (S::Publishing | S::Dispatched, E::Beat) => (state, C::Heartbeat),
        (S::Publishing | S::Dispatched, E::Gone) => (S::Ended, C::AnnounceGone),

        (S::Settling, E::FinalReply) => (S::Settling, C::Hold),
        (S::Settling, E::Settled) => (S::Ended, C::CleanUp),

        // While settling, the broker's word on the message and the worker's pulse no longer matter; and what
        // the respond call learns of a dead token it learns by itself.
        (
            S::Settling,
            E::Confirmed | E::Returned | E::PublishFailed | E::GiveUp | E::Beat | E::Gone,
        )
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
            // the usual way
            (S::Publishing, E::Confirmed,     S::Dispatched, C::Nothing),
            (S::Dispatched, E::Beat,          S::Dispatched, C::Heartbeat),
            (S::Dispatched, E::FinalReply,    S::Settling,   C::Settle),
            (S::Settling,   E::Settled,       S::Ended,      C::CleanUp),
            // the broker makes trouble
            (S::Publishing, E::PublishFailed, S::Publishing, C::PublishAgain),
            (S::Publishing, E::Returned,      S::Settling,   C::Settle),
            (S::Publishing, E::GiveUp,        S::Settling,   C::Settle),
            (S::Dispatched, E::GiveUp,        S::Settling,   C::Settle),
            (S::Dispatched, E::Returned,      S::Settling,   C::Settle),
            (S::Dispatched, E::PublishFailed, S::Dispatched, C::Nothing),
            (S::Dispatched, E::Confirmed,     S::Dispatched, C::Nothing),
            // a worker faster than the confirm
            (S::Publishing, E::Beat,          S::Publishing, C::Heartbeat),
            (S::Publishing, E::FinalReply,    S::Settling,   C::Settle),
            // settling is never disturbed
            (S::Settling,   E::Confirmed,     S::Settling,   C::Nothing),
            (S::Settling,   E::Returned,      S::Settling,   C::Nothing),
            (S::Settling,   E::PublishFailed, S::Settling,   C::Nothing),
            (S::Settling,   E::GiveUp,        S::Settling,   C::Nothing),
            (S::Settling,   E::Beat,          S::Settling,   C::Nothing),
            (S::Settling,   E::Gone,          S::Settling,   C::Nothing),
            (S::Settling,   E::FinalReply,    S::Settling,   C::Hold),
            // AWS has forgotten the task
            (S::Publishing, E::Gone,          S::Ended,      C::AnnounceGone),
            (S::Dispatched, E::Gone,          S::Ended,      C::AnnounceGone),
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
        ]
    }

    proptest! {
        /// Whatever happens in whatever order, a task is settled at most once and forgotten at most once.
        #[test]
        fn a_task_is_settled_and_forgotten_at_most_once(events in prop::collection::vec(any_event(), 0..40)) {
            let (mut state, mut settled, mut forgotten) = (S::Publishing, 0, 0);
            for event in events {
                let (next, command) = step(state, event);
                settled += usize::from(command == C::Settle);
                forgotten += usize::from(matches!(command, C::CleanUp | C::AnnounceGone));
                prop_assert!(state != S::Ended || (next == S::Ended && command == C::Nothing));
                prop_assert_eq!(next == S::Ended, forgotten == 1);
                state = next;
            }
            prop_assert!(settled <= 1 && forgotten <= 1);
        }

        /// A final reply is never ignored while the task is open: it settles, or is held by a settlement.
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
