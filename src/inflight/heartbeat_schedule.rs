//! The pulse of one task: when AWS is to hear of it next, and on whose behalf. Pure: no clock, no network.
//!
//! While nobody has started the task, the bridge speaks for it. From the worker's first sign of life only the worker's
//! are passed on, coalesced to the newest and no more often than once in an interval; a worker that goes quiet is left to
//! time out, and asked after when it must have.

use crate::{
    route::{BEATS_PER_TIMEOUT, By, HeartbeatConfig},
    task::Timeout,
};
use std::time::Duration;
use tokio::time::Instant;

/// How long AWS is supposed to wait for a heartbeat where that is not known, before a quiet task is asked after.
const SUPPOSED_TIMEOUT: Duration = Duration::from_secs(300);

/// A task that AWS must have timed out is asked after this much later.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// The longest wait between two questions after a quiet task, in doublings of the timeout.
const MAX_DOUBLINGS: u32 = 6;

/// A heartbeat that failed is tried again within this time, however long the interval.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How long the answer to a heartbeat is awaited, within the interval.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

const LONGEST_PATIENCE: Duration = Duration::from_secs(8);

/// AWS is asked after a task that was adopted within this time, or a quarter of its interval.
const ASK_ADOPTED_WITHIN: Duration = Duration::from_secs(1);

/// A task is given this time to be started, however long it has waited, where that a worker started it may be among replies
/// that wait.
const RECOVERED_START_TIMEOUT: Duration = Duration::from_secs(10);

/// What an outcome needs to be settled, unless something is amiss.
const LONGEST_MOMENT: Duration = Duration::from_secs(2);

/// What a task's pulse goes by.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whose signs of life count.
    pub by: By,
    /// AWS's heartbeat timeout.
    pub timeout: Timeout,
    /// The least time between two heartbeats.
    pub interval: Duration,
    /// How long the task may wait for a worker.
    pub max_wait: Option<Duration>,
}

impl Terms {
    /// The terms of a route's tasks with this heartbeat timeout.
    #[must_use]
    pub fn new(config: &HeartbeatConfig, timeout: Timeout) -> Self {
        Self {
            by: config.by,
            timeout,
            interval: config.interval(timeout.limit()),
            max_wait: config.max_wait,
        }
    }
}

/// What a task is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A heartbeat to AWS.
    Beat,
    /// To be failed: nobody has started it for this long.
    Unstarted(Duration),
}

/// What is known of a task that is adopted.
#[derive(Clone, Copy, Debug)]
pub struct Adopted {
    /// How long ago it was polled.
    pub age: Duration,
    /// How long ago AWS last heard of it, if that is known.
    pub unheard: Option<Duration>,
    /// Whether a worker has said that it works on it.
    pub begun: bool,
}

/// See the module.
#[derive(Debug)]
pub struct HeartbeatSchedule {
    terms: Terms,
    /// When the task was polled.
    polled: Instant,
    /// The poll, or the last heartbeat that AWS accepted: its clock runs from here.
    heard: Instant,
    /// When the answer to that came. AWS's clock runs from here at the latest.
    answered: Instant,
    /// Whether `heard` is a heartbeat's.
    taken: bool,
    /// When the bridge would speak on its own, a random part of an interval after the last heartbeat.
    own: Instant,
    /// Before this the worker's next sign of life waits, and so does a question.
    not_before: Instant,
    stage: Stage,
    beat: Beat,
    /// The newest details of the worker's.
    details: String,
    /// Whether AWS has not heard them.
    news: bool,
    /// How often AWS said of a quiet task that it lives.
    asked: u32,
    /// How many heartbeats failed since the last that did not.
    faults: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has said that it works on the task.
    Waiting,
    /// A worker has.
    Begun,
    /// Its outcome is on the way to AWS.
    Over,
}

/// What is under way; meanwhile nothing else is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// Nothing.
    None,
    /// A heartbeat that waits for its turn.
    Wanted,
    /// A heartbeat on somebody's behalf.
    Telling,
    /// A heartbeat that only asks.
    Asking,
}

impl HeartbeatSchedule {
    /// Of a task that was polled now. `chance` is a random number from 0 to 1, here and below.
    #[must_use]
    pub fn new(terms: Terms, now: Instant, chance: f64) -> Self {
        Self {
            terms,
            polled: now,
            heard: now,
            answered: now,
            taken: false,
            own: first_own(terms, now, chance),
            not_before: now,
            stage: Stage::Waiting,
            beat: Beat::None,
            details: String::new(),
            news: false,
            asked: 0,
            faults: 0,
        }
    }

    /// Of a task that another process had, or this one before a crash. AWS is asked after it soon: it may be gone, and what
    /// was last heard of it may have been lost.
    #[must_use]
    pub fn adopted(terms: Terms, from: Adopted, now: Instant, chance: f64) -> Self {
        let ago = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let heard = ago(from.unheard.unwrap_or(terms.interval).min(from.age));
        let soon = now + (terms.interval / 4).min(ASK_ADOPTED_WITHIN).mul_f64(chance);
        let mut schedule = Self {
            polled: ago(from.age),
            heard,
            answered: heard,
            taken: from.unheard.is_some(),
            own: soon,
            not_before: soon,
            ..Self::new(terms, now, chance)
        };
        if from.begun {
            schedule.stage = Stage::Begun;
        }
        schedule.news = !schedule.bridge_speaks();
        schedule.be_patient(now);
        schedule
    }

    /// What a worker says can't be heard for now: it is told on its behalf that it is alive, and a task that nobody seems to
    /// have started is not given up yet.
    pub fn presume_alive(&mut self, now: Instant) {
        match self.stage {
            Stage::Waiting => self.be_patient(now),
            Stage::Begun => self.news = true,
            Stage::Over => {}
        }
    }

    /// However long the task has waited, it is given a while to be started.
    fn be_patient(&mut self, now: Instant) {
        if let Some(wait) = self.terms.max_wait {
            let waited = wait.saturating_sub(RECOVERED_START_TIMEOUT);
            self.polled = self.polled.max(now.checked_sub(waited).unwrap_or(now));
        }
    }

    /// Whether a worker has said that it works on the task.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.stage != Stage::Waiting
    }

    /// When AWS took the last heartbeat; `None` where it has taken none, or that is not known.
    #[must_use]
    pub fn last_heartbeat(&self) -> Option<Instant> {
        self.taken.then_some(self.heard)
    }

    /// The terms are known better than when the task was polled.
    pub fn set_timeouts(&mut self, terms: Terms, chance: f64) {
        self.terms = terms;
        self.own = first_own(terms, self.heard, chance);
    }

    /// When the task is due for something, and for what; `None` while a heartbeat is under way.
    #[must_use]
    pub fn due(&self) -> Option<(Instant, Due)> {
        if self.beat != Beat::None {
            return None;
        }
        let beat = self.beat_at();
        Some(match self.terms.max_wait {
            Some(wait) if self.stage == Stage::Waiting && self.polled + wait <= beat => {
                (self.polled + wait, Due::Unstarted(wait))
            }
            _ => (beat, Due::Beat),
        })
    }

    fn beat_at(&self) -> Instant {
        if self.bridge_speaks() {
            self.own
        } else if self.news {
            self.not_before
        } else {
            self.asks_at().max(self.not_before)
        }
    }

    fn bridge_speaks(&self) -> bool {
        let may = match self.terms.by {
            By::Both => self.stage == Stage::Waiting || self.terms.timeout == Timeout::Never,
            By::Worker => false,
            By::Bridge => true,
        };
        // The worker has done its part, and must not lose it to a timeout.
        may || self.stage == Stage::Over
    }

    /// When a task of which nothing is heard must have timed out, even if AWS got the last heartbeat only just before it
    /// answered. To ask AWS is a heartbeat too, so where the task
    /// lives all the same the next question comes twice as late, lest questions keep a dead worker's task alive.
    fn asks_at(&self) -> Instant {
        self.answered + self.supposed_timeout() * (1 << self.asked.min(MAX_DOUBLINGS)) + ASK_AFTER
    }

    fn supposed_timeout(&self) -> Duration {
        self.terms.timeout.limit().unwrap_or(SUPPOSED_TIMEOUT)
    }

    /// When AWS times the task out unless it hears what there is to tell; `None` where that is not known, or where
    /// there is nothing to tell.
    #[must_use]
    pub fn times_out(&self) -> Option<Instant> {
        self.tells().then(|| self.heard + self.time_to_live())
    }

    /// From when on a heartbeat can't stand back any more. A question can wait.
    #[must_use]
    pub fn urgent(&self) -> Instant {
        match self.tells() {
            true => self.heard + self.time_to_live() / 2,
            false => self.asks_at() + self.supposed_timeout(),
        }
    }

    /// How long to wait for the answer to a heartbeat, so that there is time for another.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.terms
            .interval
            .clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }

    /// Whether there is somebody on whose behalf to heartbeat.
    fn tells(&self) -> bool {
        self.bridge_speaks() || self.news
    }

    /// AWS's timeout, or where that is not known, the one that the interval is made for.
    fn time_to_live(&self) -> Duration {
        let limit = self.terms.timeout.limit();
        limit.unwrap_or(self.terms.interval * BEATS_PER_TIMEOUT)
    }

    /// The worker says that it is alive. True where nobody had begun.
    pub fn sign(&mut self, details: String) -> bool {
        let first = self.stage == Stage::Waiting;
        if first {
            self.stage = Stage::Begun;
        }
        self.details = details;
        self.news = true;
        first
    }

    /// The outcome is on its way to AWS. It overtakes what waits to be passed on, and is given a moment to arrive.
    pub fn over(&mut self, now: Instant) {
        self.stage = Stage::Over;
        self.news = false;
        let moment = (self.terms.interval / 3).min(LONGEST_MOMENT);
        self.own = (self.own.max(self.heard + self.terms.interval)).max(now + moment);
    }

    /// A heartbeat is due, and waits for its turn.
    pub fn want(&mut self) {
        self.beat = Beat::Wanted;
    }

    /// The details to send now, if a heartbeat is still due.
    pub fn send(&mut self, now: Instant) -> Option<String> {
        if self.beat_at() > now {
            self.beat = Beat::None;
            return None;
        }
        self.beat = match self.tells() {
            true => Beat::Telling,
            false => Beat::Asking,
        };
        self.news = false;
        Some(self.details.clone())
    }

    /// AWS took the heartbeat that was sent at `sent`; its answer came at `answered`.
    pub fn accepted(&mut self, sent: Instant, answered: Instant, chance: f64) {
        self.heard = sent;
        self.answered = answered;
        self.taken = true;
        self.own = sent + self.terms.interval.mul_f64((2.0 + chance) / 3.0);
        self.not_before = sent + self.terms.interval;
        self.faults = 0;
        self.asked = match self.beat {
            Beat::Asking => self.asked + 1,
            Beat::None | Beat::Wanted | Beat::Telling => 0,
        };
        self.beat = Beat::None;
    }

    /// The heartbeat came to nothing; it is tried again after a while, with what is newest then.
    pub fn failed(&mut self, now: Instant, chance: f64) {
        let step = self.terms.interval / 4 * (1 << self.faults.min(3));
        let step = step.min(self.terms.interval).min(LONGEST_RETRY);
        let again = now + step.mul_f64((1.0 + chance) / 2.0);
        self.faults += 1;
        self.own = again;
        self.not_before = again;
        self.news |= self.beat == Beat::Telling && self.stage == Stage::Begun;
        self.beat = Beat::None;
    }

    /// AWS will never take these details.
    pub fn reject_details(&mut self) {
        self.details.clear();
    }
}

/// From a third of the interval on, so that tasks which were polled together part at once.
fn first_own(terms: Terms, from: Instant, chance: f64) -> Instant {
    from + terms.interval.mul_f64((1.0 + 2.0 * chance) / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Duration = Duration::from_secs(30);
    const INTERVAL: Duration = Duration::from_secs(10);

    fn terms(by: By) -> Terms {
        Terms {
            by,
            timeout: Timeout::After(T),
            interval: INTERVAL,
            max_wait: None,
        }
    }

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    /// Lets a heartbeat be due, sent and accepted; says when it was sent.
    fn beats(schedule: &mut HeartbeatSchedule) -> Instant {
        let (at, due) = schedule.due().expect("nothing is under way");
        assert_eq!(due, Due::Beat);
        schedule.want();
        assert_eq!(schedule.due(), None);
        schedule.send(at).expect("it is due");
        schedule.accepted(at, at, 1.0);
        at
    }

    #[tokio::test(start_paused = true)]
    async fn the_bridge_speaks_for_a_task_that_waits() {
        let now = Instant::now();
        for by in [By::Both, By::Bridge] {
            let mut schedule = HeartbeatSchedule::new(terms(by), now, 1.0);
            assert_eq!(beats(&mut schedule), now + INTERVAL);
            assert_eq!(beats(&mut schedule), now + 2 * INTERVAL);
            assert_eq!(schedule.times_out(), Some(now + 2 * INTERVAL + T));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn from_the_first_sign_of_life_only_the_workers_are_passed_on() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 1.0);
        schedule.sign("1".to_owned());
        assert_eq!(schedule.due(), Some((now, Due::Beat)), "the first at once");
        beats(&mut schedule);
        schedule.sign("2".to_owned());
        schedule.sign("3".to_owned());
        assert_eq!(
            schedule.due(),
            Some((now + INTERVAL, Due::Beat)),
            "one for each interval"
        );
        schedule.want();
        assert_eq!(
            schedule.send(now + INTERVAL).as_deref(),
            Some("3"),
            "the newest"
        );
        schedule.accepted(now + INTERVAL, now + INTERVAL, 1.0);
        // The worker is quiet: nothing before AWS has timed it out.
        let timed_out = now + INTERVAL + T;
        assert_eq!(schedule.times_out(), None);
        assert_eq!(schedule.due(), Some((timed_out + ASK_AFTER, Due::Beat)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_delays_the_question_but_not_the_next_heartbeat() {
        let now = Instant::now();
        for (sign, due) in [(false, secs(3.0) + T + ASK_AFTER), (true, INTERVAL)] {
            let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 1.0);
            schedule.sign("1".to_owned());
            schedule.want();
            assert!(schedule.send(now).is_some());
            if sign {
                schedule.sign("2".to_owned());
            }
            // AWS may have got it only now, and waits for the next for all of the timeout.
            schedule.accepted(now, now + secs(3.0), 1.0);
            assert_eq!(schedule.due(), Some((now + due, Due::Beat)));
            assert_eq!(schedule.times_out(), sign.then(|| now + T), "the earliest");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn questions_after_a_quiet_task_come_ever_later() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        let first = beats(&mut schedule);
        assert_eq!(first, now + T + ASK_AFTER);
        assert_eq!(beats(&mut schedule), first + 2 * T + ASK_AFTER);
        schedule.sign(String::new());
        let told = beats(&mut schedule);
        assert_eq!(beats(&mut schedule), told + T + ASK_AFTER, "begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn by_bridge_and_without_a_timeout_the_worker_may_be_quiet() {
        let now = Instant::now();
        let never = Terms {
            timeout: Timeout::Never,
            ..terms(By::Both)
        };
        for terms in [terms(By::Bridge), never] {
            let mut schedule = HeartbeatSchedule::new(terms, now, 1.0);
            schedule.sign("half".to_owned());
            assert_eq!(schedule.due(), Some((now + INTERVAL, Due::Beat)));
            schedule.want();
            assert_eq!(schedule.send(now + INTERVAL).as_deref(), Some("half"));
            schedule.accepted(now + INTERVAL, now + INTERVAL, 1.0);
            schedule.want();
            let details = schedule.send(now + 2 * INTERVAL);
            assert_eq!(details.as_deref(), Some("half"), "kept, not blanked");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_nobody_starts_is_due_to_be_failed() {
        let now = Instant::now();
        let wait = secs(15.0);
        let terms = Terms {
            max_wait: Some(wait),
            ..terms(By::Both)
        };
        let mut schedule = HeartbeatSchedule::new(terms, now, 1.0);
        beats(&mut schedule);
        assert_eq!(schedule.due(), Some((now + wait, Due::Unstarted(wait))));
        schedule.sign(String::new());
        assert_eq!(schedule.due().map(|(_, due)| due), Some(Due::Beat));
    }

    #[tokio::test(start_paused = true)]
    async fn aws_is_asked_soon_after_a_task_that_was_adopted_and_then_as_ever() {
        let now = Instant::now() + secs(1_000.0);
        for (by, begun, then) in [
            (By::Both, false, INTERVAL),
            (By::Both, true, T + ASK_AFTER),
            (By::Worker, false, T + ASK_AFTER),
            (By::Bridge, true, INTERVAL),
        ] {
            let from = Adopted {
                age: secs(100.0),
                unheard: None,
                begun,
            };
            let mut schedule = HeartbeatSchedule::adopted(terms(by), from, now, 1.0);
            assert_eq!(schedule.times_out(), Some(now - INTERVAL + T), "{by:?}");
            let asked = beats(&mut schedule);
            assert_eq!(asked, now + ASK_ADOPTED_WITHIN, "{by:?}");
            assert_eq!(beats(&mut schedule), asked + then, "{by:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_was_adopted_is_not_failed_before_the_replies_that_wait_were_read() {
        let now = Instant::now() + secs(1_000.0);
        let from = Adopted {
            age: secs(100.0),
            unheard: Some(secs(9.0)),
            begun: false,
        };
        for (wait, at) in [(50.0, 10.0), (105.0, 10.0), (200.0, 100.0)] {
            let terms = Terms {
                max_wait: Some(secs(wait)),
                ..terms(By::Both)
            };
            let mut schedule = HeartbeatSchedule::adopted(terms, from, now, 1.0);
            let mut due = schedule.due();
            while due.is_some_and(|(_, due)| due == Due::Beat) {
                beats(&mut schedule);
                due = schedule.due();
            }
            assert_eq!(due, Some((now + secs(at), Due::Unstarted(secs(wait)))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_overtakes_a_heartbeat_and_is_kept_alive_itself() {
        let now = Instant::now();
        for by in [By::Both, By::Worker, By::Bridge] {
            let mut schedule = HeartbeatSchedule::new(terms(by), now, 0.0);
            schedule.sign("news".to_owned());
            let sent = beats(&mut schedule);
            schedule.sign("more".to_owned());
            schedule.want();
            schedule.over(sent + secs(1.0));
            assert_eq!(schedule.send(sent + secs(1.0)), None, "dropped");
            assert_eq!(schedule.due(), Some((sent + INTERVAL, Due::Beat)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_that_comes_late_in_an_interval_is_given_a_moment_before_a_heartbeat() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        schedule.over(now + secs(15.0));
        assert_eq!(schedule.due(), Some((now + secs(17.0), Due::Beat)));
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_timeout_is_not_known_a_heartbeat_is_due_as_for_the_one_that_the_interval_is_made_for()
     {
        let now = Instant::now();
        let unknown = Terms {
            timeout: Timeout::Unknown,
            ..terms(By::Both)
        };
        let schedule = HeartbeatSchedule::new(unknown, now, 0.0);
        assert_eq!(schedule.times_out(), Some(now + 3 * INTERVAL));
        assert_eq!(schedule.urgent(), now + INTERVAL.mul_f64(1.5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_failed_is_tried_again_with_the_newest_details() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 0.0);
        schedule.sign("1".to_owned());
        let mut at = now;
        for wait in [2.5, 5.0, 10.0, 10.0] {
            schedule.want();
            assert!(schedule.send(at).is_some());
            schedule.sign("2".to_owned());
            schedule.failed(at, 1.0);
            assert_eq!(schedule.due(), Some((at + secs(wait), Due::Beat)));
            at += secs(wait);
        }
        schedule.want();
        assert_eq!(schedule.send(at).as_deref(), Some("2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_failed_is_not_told_as_a_sign_of_life() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        let (at, _) = schedule.due().expect("a question");
        schedule.want();
        assert!(schedule.send(at).is_some());
        schedule.failed(at, 1.0);
        assert_eq!(schedule.times_out(), None);
        assert!(schedule.due().is_some_and(|(again, _)| again > at));
    }

    proptest! {
        /// Whatever a worker does, AWS hears of a task no more often than once in two thirds of an interval while it
        /// waits, and once in an interval from its start; and while it waits or beats in time it never times out.
        #[test]
        fn neither_too_often_nor_too_late(
            started in 0.0..200.0_f64,
            signs in prop::collection::vec(0.1..29.0_f64, 0..40),
            chances in prop::collection::vec(0.0..=1.0_f64, 400),
        ) {
            let begin = Instant::now();
            let mut chances = chances.into_iter().cycle();
            let mut chance = || chances.next().unwrap_or(0.5);
            let mut schedule = HeartbeatSchedule::new(terms(By::Both), begin, chance());
            let mut sign = begin + secs(started);
            let end = sign + signs.iter().map(|gap| secs(*gap)).sum::<Duration>();
            let mut gaps = signs.into_iter();
            let (mut clock, mut heard) = (begin, begin);
            loop {
                let (at, _) = schedule.due().expect("nothing is under way");
                if sign <= end && sign < at {
                    schedule.sign(String::new());
                    clock = sign;
                    sign += gaps.next().map_or(Duration::from_secs(10_000), secs);
                    continue;
                }
                clock = clock.max(at);
                if clock > end {
                    break;
                }
                prop_assert!(clock - heard < T, "{:?}", clock - heard);
                if heard > begin {
                    prop_assert!(clock - heard >= INTERVAL.mul_f64(0.66));
                }
                schedule.want();
                prop_assert!(schedule.send(clock).is_some());
                schedule.accepted(clock, clock, chance());
                heard = clock;
            }
        }
    }
}
