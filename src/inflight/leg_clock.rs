//! Measures the legs of a task's way, from the poll to the settlement. Pure: it has no clock of its own.
//!
//! A leg is measured only where its beginning and its end are certain. So there is no clock for a task that was adopted, that came
//! back as a dead letter, or whose message the broker has lost: its worker may have begun or replied before this process heard of
//! it.

use super::lifecycle::Event;
use crate::metrics::Leg;
use std::time::Duration;
use tokio::time::Instant;

/// See the module. The leg that a task is in, and since when; `None` if no leg is measured any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegClock(Option<(Leg, Instant)>);

impl LegClock {
    /// The clock of a task that was polled now.
    #[must_use]
    pub fn started(now: Instant) -> Self {
        Self(Some((Leg::Publish, now)))
    }

    /// The clock of a task of which nothing is measured.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Notes an event that had an effect on the task. Calls `ended` for each leg that it ends, with its time.
    pub fn on(&mut self, event: Event, now: Instant, mut ended: impl FnMut(Leg, Duration)) {
        let Some((leg, since)) = self.0 else {
            return;
        };
        let took = now.saturating_duration_since(since);
        let next = match event {
            Event::MessageLost => return self.0 = None,
            // A worker, or its news, may be faster than the confirm. Then the publication ends here too.
            Event::Confirmed
            | Event::Beat
            | Event::Delivered
            | Event::Released
            | Event::FinalReply
            | Event::Acknowledged
                if leg == Leg::Publish =>
            {
                ended(Leg::Publish, took);
                self.0 = Some((Leg::Wait, now));
                return match event {
                    Event::Confirmed => {}
                    _ => self.on(event, now, ended),
                };
            }
            Event::Beat | Event::Delivered | Event::Released if leg == Leg::Wait => {
                ended(Leg::Wait, took);
                Leg::Work
            }
            Event::FinalReply | Event::Acknowledged if leg == Leg::Wait => {
                ended(Leg::WaitAndWork, took);
                Leg::Settle
            }
            Event::FinalReply | Event::Acknowledged if leg == Leg::Work => {
                ended(Leg::Work, took);
                Leg::Settle
            }
            Event::CameBack => Leg::Wait,
            Event::GiveUp | Event::Returned => Leg::Settle,
            Event::Settled if leg == Leg::Settle => {
                ended(Leg::Settle, took);
                return self.0 = None;
            }
            Event::Confirmed
            | Event::PublishFailed
            | Event::FinalReply
            | Event::Beat
            | Event::Gone
            | Event::Settled
            | Event::Delivered
            | Event::Acknowledged
            | Event::Released
            | Event::Abandoned => return,
        };
        self.0 = Some((next, now));
    }
}

#[cfg(test)]
mod tests {
    use super::{Event as E, *};

    /// The legs, in seconds, of a task with these events, each a second after the one before.
    fn legs(events: &[E]) -> Vec<(Leg, u64)> {
        let begun = Instant::now();
        let mut clock = LegClock::started(begun);
        let mut found = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let now = begun + Duration::from_secs(index as u64 + 1);
            clock.on(*event, now, |leg, took| found.push((leg, took.as_secs())));
        }
        found
    }

    #[test]
    fn each_leg_is_measured_from_what_began_it_to_what_ended_it() {
        use Leg::{Publish, Settle, Wait, WaitAndWork, Work};
        type Row = (&'static str, &'static [E], &'static [(Leg, u64)]);
        #[rustfmt::skip]
        let rows: [Row; 13] = [
            ("the normal case", &[E::Confirmed, E::Beat, E::Beat, E::FinalReply, E::Settled],
                &[(Publish, 1), (Wait, 1), (Work, 2), (Settle, 1)]),
            ("a worker that does not say when it starts", &[E::Confirmed, E::FinalReply, E::Settled],
                &[(Publish, 1), (WaitAndWork, 1), (Settle, 1)]),
            ("the broker tells of the delivery", &[E::Confirmed, E::Delivered, E::Beat, E::Acknowledged, E::Settled],
                &[(Publish, 1), (Wait, 1), (Work, 2), (Settle, 1)]),
            ("the delivery is told before the confirm", &[E::Delivered, E::Confirmed, E::FinalReply, E::Settled],
                &[(Publish, 1), (Wait, 0), (Work, 2), (Settle, 1)]),
            ("a sign of life comes before the confirm", &[E::Beat, E::Confirmed, E::FinalReply],
                &[(Publish, 1), (Wait, 0), (Work, 2)]),
            ("a reply comes before the confirm", &[E::FinalReply, E::Settled],
                &[(Publish, 1), (WaitAndWork, 0), (Settle, 1)]),
            ("attempts to publish fail", &[E::PublishFailed, E::PublishFailed, E::Confirmed], &[(Publish, 3)]),
            ("the first worker is lost", &[E::Confirmed, E::Delivered, E::CameBack, E::Delivered, E::FinalReply],
                &[(Publish, 1), (Wait, 1), (Wait, 1), (Work, 1)]),
            ("the bridge gives up", &[E::Confirmed, E::GiveUp, E::Settled], &[(Publish, 1), (Settle, 1)]),
            ("a second reply comes", &[E::Confirmed, E::FinalReply, E::FinalReply, E::Settled],
                &[(Publish, 1), (WaitAndWork, 1), (Settle, 2)]),
            ("the message is lost", &[E::Confirmed, E::MessageLost, E::Confirmed, E::Beat, E::FinalReply, E::Settled],
                &[(Publish, 1)]),
            ("the task is gone", &[E::Confirmed, E::Gone], &[(Publish, 1)]),
            ("a worker has begun for good", &[E::Confirmed, E::Delivered, E::Released, E::Abandoned, E::FinalReply],
                &[(Publish, 1), (Wait, 1), (Work, 3)]),
        ];
        for (case, events, expected) in rows {
            assert_eq!(legs(events), expected, "{case}");
        }
    }

    #[test]
    fn nothing_is_measured_where_the_clock_is_off() {
        let mut clock = LegClock::off();
        for event in [E::Confirmed, E::Beat, E::FinalReply, E::Settled] {
            clock.on(event, Instant::now(), |leg, _| panic!("{leg:?}"));
        }
    }
}
