//! The heartbeat schedule of one task: when the next heartbeat is due, and whose sign of life it is. Pure: it has no clock and
//! does no I/O.
//!
//! While no worker has begun, the bridge sends heartbeats of its own. A broker that sees each delivery also says when a worker has
//! the task, and when the task waits again: the bridge goes on with its own heartbeats, and only the wait has a limit. After the worker's first sign of life only the worker's
//! signs of life are sent, at most one in an interval, with the newest details. If the worker sends none any more, the task is
//! left to time out. After the time at which AWS must have timed it out, a *check* asks AWS whether the task is gone. AWS has no
//! call for that, so a check is a heartbeat too.

use crate::{
    route::{BEATS_PER_TIMEOUT, By, HeartbeatConfig},
    task::Timeout,
};
use std::time::Duration;
use tokio::time::Instant;

/// The heartbeat timeout that a check assumes if none is known.
const ASSUMED_TIMEOUT: Duration = Duration::from_secs(300);

/// Time between the end of the heartbeat timeout and the check.
const CHECK_DELAY: Duration = Duration::from_millis(500);

/// Maximum interval between two checks, in doublings of the heartbeat timeout.
const MAX_DOUBLINGS: u32 = 6;

/// Maximum interval before a failed heartbeat is tried again.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Minimum timeout for the answer to a heartbeat.
const MIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum timeout for the answer to a heartbeat.
const MAX_ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Maximum time before the first heartbeat of an adopted task. It is at most a quarter of the interval too.
const ADOPTED_HEARTBEAT_TIME: Duration = Duration::from_secs(1);

/// Minimum time in which a worker can start a task after the task was adopted. The worker's `started` may be among replies that
/// are not read yet.
const RECOVERED_START_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum delay of a heartbeat for an outcome that is being settled. A settlement normally takes less.
const MAX_SETTLE_DELAY: Duration = Duration::from_secs(2);

/// The settings of a heartbeat schedule.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whose signs of life are sent to AWS.
    pub by: By,
    /// The heartbeat timeout of the task.
    pub timeout: Timeout,
    /// Minimum interval between two heartbeats.
    pub interval: Duration,
    /// Maximum time that the task waits for a worker to start it.
    pub max_wait: Option<Duration>,
}

impl Terms {
    /// The settings for a task of a route, with this heartbeat timeout.
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

/// What is due for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A heartbeat to AWS.
    Beat,
    /// A failure: no worker has started the task within this time.
    Unstarted(Duration),
}

/// What is known of an adopted task.
#[derive(Clone, Copy, Debug)]
pub struct Adopted {
    /// The time since the task was polled.
    pub age: Duration,
    /// The time since AWS accepted the last heartbeat, if that is known.
    pub since_heartbeat: Option<Duration>,
    /// Whether a worker has said that it works on the task.
    pub begun: bool,
}

/// See the module.
#[derive(Debug)]
pub struct HeartbeatSchedule {
    terms: Terms,
    /// When the task began to wait for a worker: at the poll, or when its last delivery failed.
    waits_since: Instant,
    /// When the heartbeat timeout began: at the last heartbeat that AWS accepted, or else at the poll.
    timeout_began: Instant,
    /// When AWS answered that heartbeat. The timeout began then at the latest.
    answered: Instant,
    /// Whether `timeout_began` is the time of a heartbeat.
    any_accepted: bool,
    /// Whether `timeout_began` is a time of this process, and not one of before the task was adopted.
    is_measured: bool,
    /// When the bridge's own heartbeat would be due: a random part of an interval after the last heartbeat.
    own_due: Instant,
    /// The earliest time for the worker's next sign of life and for a check.
    not_before: Instant,
    stage: Stage,
    beat: Beat,
    /// The newest details of the worker.
    details: String,
    /// Whether a sign of life of the worker is not sent yet.
    unsent: bool,
    /// The number of checks since the last sign of life that AWS answered with "alive".
    checks: u32,
    /// The number of failed heartbeats since the last accepted one.
    faults: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No worker has said that it works on the task. Only a broker that sees deliveries can say whether a worker has it.
    Waiting,
    /// A worker has the task, on a connection that lives, and has said nothing.
    Delivered,
    /// A worker has begun for good, its connection lives, and it has said nothing.
    Released,
    /// A worker has said that it works on the task, or has begun for good and lost its connection.
    Begun,
    /// The outcome is being sent to AWS.
    Settling,
}

/// The heartbeat under way. While there is one, nothing else is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// None.
    None,
    /// A heartbeat that waits for a permit of the rate limiter.
    Queued,
    /// A sign of life, the bridge's or the worker's.
    SignOfLife,
    /// A check.
    Check,
}

impl HeartbeatSchedule {
    /// The schedule of a task that was polled now. `chance` is a random number from 0 to 1, here and below.
    #[must_use]
    pub fn new(terms: Terms, now: Instant, chance: f64) -> Self {
        Self {
            terms,
            waits_since: now,
            timeout_began: now,
            answered: now,
            any_accepted: false,
            is_measured: true,
            own_due: first_own_due(terms, now, chance),
            not_before: now,
            stage: Stage::Waiting,
            beat: Beat::None,
            details: String::new(),
            unsent: false,
            checks: 0,
            faults: 0,
        }
    }

    /// The schedule of an adopted task. A heartbeat is due soon, because the task may be gone, and because the last sign of
    /// life may have been lost.
    #[must_use]
    pub fn adopted(terms: Terms, from: Adopted, now: Instant, chance: f64) -> Self {
        let ago = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let timeout_began = ago(from.since_heartbeat.unwrap_or(terms.interval).min(from.age));
        let soon = now
            + (terms.interval / 4)
                .min(ADOPTED_HEARTBEAT_TIME)
                .mul_f64(chance);
        let mut schedule = Self {
            waits_since: ago(from.age),
            timeout_began,
            answered: timeout_began,
            any_accepted: from.since_heartbeat.is_some(),
            is_measured: false,
            own_due: soon,
            not_before: soon,
            ..Self::new(terms, now, chance)
        };
        if from.begun {
            schedule.stage = Stage::Begun;
        }
        schedule.unsent = !schedule.sends_own();
        schedule.extend_wait(now);
        schedule
    }

    /// Presumes that the worker is alive, because its signs of life may not reach this process for now. A heartbeat is sent in
    /// its place. A task that no worker seems to have started gets more time.
    pub fn presume_alive(&mut self, now: Instant) {
        match self.stage {
            Stage::Waiting => self.extend_wait(now),
            Stage::Begun => self.unsent = true,
            // The bridge speaks for these itself.
            Stage::Delivered | Stage::Released | Stage::Settling => {}
        }
    }

    /// Gives a worker at least [`RECOVERED_START_TIMEOUT`] to start the task, however long the task has waited.
    fn extend_wait(&mut self, now: Instant) {
        if let Some(wait) = self.terms.max_wait {
            let waited = wait.saturating_sub(RECOVERED_START_TIMEOUT);
            let earliest = now.checked_sub(waited).unwrap_or(now);
            self.waits_since = self.waits_since.max(earliest);
        }
    }

    /// Whether a worker has said that it works on the task or has begun it for good.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Delivered)
    }

    /// Whether the task waits for a worker, as far as the broker can tell.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    /// Notes that a worker has the task. What was said before came from an earlier holder.
    pub fn deliver(&mut self) {
        self.change_stage(Stage::Delivered);
    }

    /// Notes that the task waits for a worker again. The maximum wait begins anew.
    pub fn come_back(&mut self, now: Instant) {
        self.waits_since = now;
        self.change_stage(Stage::Waiting);
    }

    /// Notes that a worker has begun for good. If it has said something, its own signs of life count already.
    pub fn release(&mut self) {
        if self.stage != Stage::Begun {
            self.change_stage(Stage::Released);
        }
    }

    /// Notes that the connection of a worker that had begun for good has ended. From now on it counts as a worker that sends no
    /// signs of life.
    pub fn abandon(&mut self) {
        if self.stage == Stage::Released {
            self.change_stage(Stage::Begun);
        }
    }

    /// Nothing changes the stage of a task that is being settled.
    fn change_stage(&mut self, stage: Stage) {
        if self.stage != Stage::Settling {
            self.stage = stage;
            self.checks = 0;
        }
    }

    /// When AWS accepted the last heartbeat; `None` if it accepted none, or if that is not known.
    #[must_use]
    pub fn last_heartbeat(&self) -> Option<Instant> {
        self.any_accepted.then_some(self.timeout_began)
    }

    /// Replaces the settings after the timeouts were learnt. If they are shorter, the next heartbeat is due earlier, that of
    /// a worker too.
    pub fn set_timeouts(&mut self, terms: Terms, chance: f64) {
        self.terms = terms;
        self.own_due = first_own_due(terms, self.timeout_began, chance);
        let not_before = self.timeout_began + terms.interval;
        self.not_before = self.not_before.min(not_before);
    }

    /// When something is due for the task, and what; `None` while a heartbeat is under way.
    #[must_use]
    pub fn due(&self) -> Option<(Instant, Due)> {
        if self.beat != Beat::None {
            return None;
        }
        let beat = self.beat_at();
        Some(match self.terms.max_wait {
            Some(wait) if self.is_waiting() && self.waits_since + wait <= beat => {
                (self.waits_since + wait, Due::Unstarted(wait))
            }
            _ => (beat, Due::Beat),
        })
    }

    fn beat_at(&self) -> Instant {
        if self.sends_own() {
            self.own_due
        } else if self.unsent {
            self.not_before
        } else {
            self.check_due().max(self.not_before)
        }
    }

    fn sends_own(&self) -> bool {
        let may = match self.terms.by {
            By::Both => self.stage != Stage::Begun || self.terms.timeout == Timeout::Never,
            By::Worker => false,
            By::Bridge => true,
        };
        // The worker has finished. Its outcome must not be lost to a timeout.
        may || self.stage == Stage::Settling
    }

    /// When the next check is due: after AWS must have timed the task out, even if AWS got the last heartbeat only just before it
    /// answered. A check is a heartbeat too, so checks could keep the
    /// task of a dead worker alive. Therefore each check of a living task doubles the time to the next one.
    fn check_due(&self) -> Instant {
        self.answered + self.assumed_timeout() * (1 << self.checks.min(MAX_DOUBLINGS)) + CHECK_DELAY
    }

    fn assumed_timeout(&self) -> Duration {
        self.terms.timeout.limit().unwrap_or(ASSUMED_TIMEOUT)
    }

    /// The deadline of the sign of life that is to be sent: when AWS times the task out otherwise; `None` if no sign of life is to
    /// be sent.
    #[must_use]
    pub fn times_out(&self) -> Option<Instant> {
        self.has_sign()
            .then(|| self.timeout_began + self.time_to_live())
    }

    /// When the heartbeat becomes urgent. A check can wait longer.
    #[must_use]
    pub fn urgent_from(&self) -> Instant {
        match self.has_sign() {
            true => self.timeout_began + self.time_to_live() / 2,
            false => self.check_due() + self.assumed_timeout(),
        }
    }

    /// Timeout for the answer to a heartbeat. It leaves time for another attempt.
    #[must_use]
    pub fn answer_timeout(&self) -> Duration {
        self.terms
            .interval
            .clamp(MIN_ANSWER_TIMEOUT, MAX_ANSWER_TIMEOUT)
    }

    /// Whether a sign of life is to be sent, the bridge's or the worker's.
    fn has_sign(&self) -> bool {
        self.sends_own() || self.unsent
    }

    /// The heartbeat timeout, or if it is not known, the one that the interval fits.
    fn time_to_live(&self) -> Duration {
        let limit = self.terms.timeout.limit();
        limit.unwrap_or(self.terms.interval * BEATS_PER_TIMEOUT)
    }

    /// Notes a sign of life of a worker. True if it is the first since the task last waited or was delivered.
    pub fn sign(&mut self, details: String) -> bool {
        let first = !matches!(self.stage, Stage::Begun | Stage::Settling);
        if first {
            self.stage = Stage::Begun;
        }
        self.details = details;
        self.unsent = true;
        first
    }

    /// Notes that the outcome is being sent to AWS. It replaces an unsent sign of life, and the next heartbeat waits for it a
    /// little.
    pub fn begin_settling(&mut self, now: Instant) {
        self.stage = Stage::Settling;
        self.unsent = false;
        let delay = (self.terms.interval / 3).min(MAX_SETTLE_DELAY);
        self.own_due =
            (self.own_due.max(self.timeout_began + self.terms.interval)).max(now + delay);
    }

    /// Notes that the due heartbeat waits for a permit.
    pub fn enqueue(&mut self) {
        self.beat = Beat::Queued;
    }

    /// Begins the heartbeat. Returns its details; `None` if it is no longer due.
    pub fn send(&mut self, now: Instant) -> Option<String> {
        if self.beat_at() > now {
            self.beat = Beat::None;
            return None;
        }
        self.beat = match self.has_sign() {
            true => Beat::SignOfLife,
            false => Beat::Check,
        };
        self.unsent = false;
        Some(self.details.clone())
    }

    /// Notes that AWS accepted the heartbeat that was sent at `sent`. The answer came at `answered`. Returns the part of the
    /// heartbeat timeout that had passed by then: 1 is the deadline. `None` if the timeout, or its beginning, is not known, and for
    /// a check, which is no sign of life.
    pub fn accepted(&mut self, sent: Instant, answered: Instant, chance: f64) -> Option<f64> {
        let used = self.timeout_used(answered);
        self.timeout_began = sent;
        self.answered = answered;
        self.any_accepted = true;
        self.is_measured = true;
        self.own_due = sent + self.terms.interval.mul_f64((2.0 + chance) / 3.0);
        self.not_before = sent + self.terms.interval;
        self.faults = 0;
        self.checks = match self.beat {
            Beat::Check => self.checks + 1,
            Beat::None | Beat::Queued | Beat::SignOfLife => 0,
        };
        self.beat = Beat::None;
        used
    }

    fn timeout_used(&self, now: Instant) -> Option<f64> {
        let limit = self.terms.timeout.limit()?;
        let passed = now.saturating_duration_since(self.timeout_began);
        (self.is_measured && self.beat == Beat::SignOfLife).then(|| passed.div_duration_f64(limit))
    }

    /// Notes that the heartbeat failed. It is tried again after a while, with the details that are newest then.
    pub fn failed(&mut self, now: Instant, chance: f64) {
        let step = self.terms.interval / 4 * (1 << self.faults.min(3));
        let step = step.min(self.terms.interval).min(MAX_RETRY_INTERVAL);
        let again = now + step.mul_f64((1.0 + chance) / 2.0);
        self.faults += 1;
        self.own_due = again;
        self.not_before = again;
        self.unsent |= self.beat == Beat::SignOfLife && self.stage == Stage::Begun;
        self.beat = Beat::None;
    }

    /// Drops the details, because AWS will never accept them.
    pub fn reject_details(&mut self) {
        self.details.clear();
    }
}

/// When the bridge's first own heartbeat is due: after a third of an interval at the earliest, at random, so that tasks that were
/// polled together do not send their heartbeats together.
fn first_own_due(terms: Terms, from: Instant, chance: f64) -> Instant {
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

    /// Sends the due heartbeat, which AWS accepts. Returns when it was sent.
    fn beats(schedule: &mut HeartbeatSchedule) -> Instant {
        let (at, due) = schedule.due().expect("nothing is under way");
        assert_eq!(due, Due::Beat);
        schedule.enqueue();
        assert_eq!(schedule.due(), None);
        schedule.send(at).expect("it is due");
        schedule.accepted(at, at, 1.0);
        at
    }

    #[tokio::test(start_paused = true)]
    async fn the_bridge_sends_heartbeats_for_a_waiting_task() {
        let now = Instant::now();
        for by in [By::Both, By::Bridge] {
            let mut schedule = HeartbeatSchedule::new(terms(by), now, 1.0);
            assert_eq!(beats(&mut schedule), now + INTERVAL);
            assert_eq!(beats(&mut schedule), now + 2 * INTERVAL);
            assert_eq!(schedule.times_out(), Some(now + 2 * INTERVAL + T));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_first_sign_of_life_only_the_workers_are_sent() {
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
        schedule.enqueue();
        assert_eq!(
            schedule.send(now + INTERVAL).as_deref(),
            Some("3"),
            "the newest"
        );
        schedule.accepted(now + INTERVAL, now + INTERVAL, 1.0);
        // The worker sends nothing more: nothing is due before AWS has timed the task out.
        let timed_out = now + INTERVAL + T;
        assert_eq!(schedule.times_out(), None);
        assert_eq!(schedule.due(), Some((timed_out + CHECK_DELAY, Due::Beat)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_delays_the_check_but_not_the_next_heartbeat() {
        let now = Instant::now();
        for (sign, due) in [(false, secs(3.0) + T + CHECK_DELAY), (true, INTERVAL)] {
            let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 1.0);
            schedule.sign("1".to_owned());
            schedule.enqueue();
            assert!(schedule.send(now).is_some());
            if sign {
                schedule.sign("2".to_owned());
            }
            // AWS may have got it only now, and waits for the next one for the whole timeout.
            schedule.accepted(now, now + secs(3.0), 1.0);
            assert_eq!(schedule.due(), Some((now + due, Due::Beat)));
            assert_eq!(schedule.times_out(), sign.then(|| now + T), "the earliest");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn checks_of_a_task_without_signs_of_life_become_rarer() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        let first = beats(&mut schedule);
        assert_eq!(first, now + T + CHECK_DELAY);
        assert_eq!(beats(&mut schedule), first + 2 * T + CHECK_DELAY);
        schedule.sign(String::new());
        let sent = beats(&mut schedule);
        assert_eq!(beats(&mut schedule), sent + T + CHECK_DELAY, "begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn by_bridge_and_without_a_timeout_no_signs_of_life_are_needed() {
        let now = Instant::now();
        let never = Terms {
            timeout: Timeout::Never,
            ..terms(By::Both)
        };
        for terms in [terms(By::Bridge), never] {
            let mut schedule = HeartbeatSchedule::new(terms, now, 1.0);
            schedule.sign("half".to_owned());
            assert_eq!(schedule.due(), Some((now + INTERVAL, Due::Beat)));
            schedule.enqueue();
            assert_eq!(schedule.send(now + INTERVAL).as_deref(), Some("half"));
            schedule.accepted(now + INTERVAL, now + INTERVAL, 1.0);
            schedule.enqueue();
            let details = schedule.send(now + 2 * INTERVAL);
            assert_eq!(details.as_deref(), Some("half"), "kept, not blanked");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_due_for_a_task_that_no_worker_starts() {
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

    /// What happens to a task, in the order in which a broker that sees deliveries tells it.
    #[derive(Clone, Copy, Debug)]
    enum Told {
        Delivered,
        CameBack,
        Released,
        Abandoned,
        Sign,
    }

    fn tell(schedule: &mut HeartbeatSchedule, told: Told, now: Instant) {
        match told {
            Told::Delivered => schedule.deliver(),
            Told::CameBack => schedule.come_back(now),
            Told::Released => schedule.release(),
            Told::Abandoned => schedule.abandon(),
            Told::Sign => assert!(schedule.sign(String::new()), "the first"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_speaks_for_a_task_follows_from_what_became_of_its_delivery() {
        use Told::{Abandoned, CameBack, Delivered, Released, Sign};
        let now = Instant::now();
        #[rustfmt::skip]
        let rows: [(&[Told], bool, bool, bool); 12] = [
            // what was told                            the bridge speaks, begun, waits
            (&[],                                       true,  false, true),
            (&[Delivered],                              true,  false, false),
            (&[Delivered, CameBack],                    true,  false, true),
            (&[Delivered, Sign],                        false, true,  false),
            (&[Delivered, Sign, CameBack],              true,  false, true),
            (&[Delivered, Sign, CameBack, Delivered],   true,  false, false),
            (&[Delivered, Sign, Delivered],             true,  false, false),
            (&[Delivered, Released],                    true,  true,  false),
            (&[Delivered, Released, Sign],              false, true,  false),
            (&[Delivered, Sign, Released],              false, true,  false),
            (&[Delivered, Released, Abandoned],         false, true,  false),
            (&[Delivered, Abandoned],                   true,  false, false),
        ];
        for (told, own, begun, waits) in rows {
            let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 1.0);
            for one in told {
                tell(&mut schedule, *one, now);
            }
            let found = (schedule.has_begun(), schedule.is_waiting());
            assert_eq!(found, (begun, waits), "{told:?}");
            // A sign of life is sent first. What follows shows who speaks.
            if schedule.due() == Some((now, Due::Beat)) {
                beats(&mut schedule);
            }
            let next = if own { INTERVAL } else { T + CHECK_DELAY };
            assert_eq!(schedule.due(), Some((now + next, Due::Beat)), "{told:?}");
            schedule.begin_settling(now);
            for one in [Delivered, CameBack, Released, Abandoned] {
                tell(&mut schedule, one, now);
                assert!(schedule.has_begun() && !schedule.is_waiting(), "{one:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_in_which_a_task_waits_counts_and_it_counts_anew_after_a_failed_delivery()
    {
        let now = Instant::now();
        let wait = secs(15.0);
        let terms = Terms {
            max_wait: Some(wait),
            ..terms(By::Both)
        };
        let mut schedule = HeartbeatSchedule::new(terms, now, 1.0);
        schedule.deliver();
        for nth in 1..10 {
            assert_eq!(beats(&mut schedule), now + INTERVAL * nth);
        }
        schedule.come_back(now + secs(91.0));
        assert_eq!(beats(&mut schedule), now + INTERVAL * 10);
        let failed_at = now + secs(91.0) + wait;
        assert_eq!(schedule.due(), Some((failed_at, Due::Unstarted(wait))));
        schedule.release();
        assert_eq!(schedule.due().map(|(_, due)| due), Some(Due::Beat));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_again_after_its_worker_went_quiet_is_heartbeated_at_once() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 1.0);
        schedule.sign(String::new());
        beats(&mut schedule);
        schedule.come_back(now + secs(25.0));
        let (at, due) = schedule.due().expect("nothing is under way");
        assert!(at <= now + secs(25.0) && due == Due::Beat, "{at:?}");
        assert_eq!(schedule.times_out(), Some(now + T), "before the timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_due_soon_for_an_adopted_task_and_then_as_usual() {
        let now = Instant::now() + secs(1_000.0);
        for (by, begun, then) in [
            (By::Both, false, INTERVAL),
            (By::Both, true, T + CHECK_DELAY),
            (By::Worker, false, T + CHECK_DELAY),
            (By::Bridge, true, INTERVAL),
        ] {
            let from = Adopted {
                age: secs(100.0),
                since_heartbeat: None,
                begun,
            };
            let mut schedule = HeartbeatSchedule::adopted(terms(by), from, now, 1.0);
            assert_eq!(schedule.times_out(), Some(now - INTERVAL + T), "{by:?}");
            let first = beats(&mut schedule);
            assert_eq!(first, now + ADOPTED_HEARTBEAT_TIME, "{by:?}");
            assert_eq!(beats(&mut schedule), first + then, "{by:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_adopted_task_is_not_failed_before_waiting_replies_can_be_read() {
        let now = Instant::now() + secs(1_000.0);
        let from = Adopted {
            age: secs(100.0),
            since_heartbeat: Some(secs(9.0)),
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
    async fn an_outcome_replaces_a_heartbeat_and_its_task_is_kept_alive() {
        let now = Instant::now();
        for by in [By::Both, By::Worker, By::Bridge] {
            let mut schedule = HeartbeatSchedule::new(terms(by), now, 0.0);
            schedule.sign("sent".to_owned());
            let sent = beats(&mut schedule);
            schedule.sign("more".to_owned());
            schedule.enqueue();
            schedule.begin_settling(sent + secs(1.0));
            assert_eq!(schedule.send(sent + secs(1.0)), None, "dropped");
            assert_eq!(schedule.due(), Some((sent + INTERVAL, Due::Beat)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_late_in_an_interval_delays_the_heartbeat_a_little() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        schedule.begin_settling(now + secs(15.0));
        assert_eq!(schedule.due(), Some((now + secs(17.0), Due::Beat)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_known_timeout_a_heartbeat_is_as_urgent_as_for_the_one_that_the_interval_fits()
     {
        let now = Instant::now();
        let unknown = Terms {
            timeout: Timeout::Unknown,
            ..terms(By::Both)
        };
        let schedule = HeartbeatSchedule::new(unknown, now, 0.0);
        assert_eq!(schedule.times_out(), Some(now + 3 * INTERVAL));
        assert_eq!(schedule.urgent_from(), now + INTERVAL.mul_f64(1.5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_heartbeat_is_tried_again_with_the_newest_details() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Both), now, 0.0);
        schedule.sign("1".to_owned());
        let mut at = now;
        for wait in [2.5, 5.0, 10.0, 10.0] {
            schedule.enqueue();
            assert!(schedule.send(at).is_some());
            schedule.sign("2".to_owned());
            schedule.failed(at, 1.0);
            assert_eq!(schedule.due(), Some((at + secs(wait), Due::Beat)));
            at += secs(wait);
        }
        schedule.enqueue();
        assert_eq!(schedule.send(at).as_deref(), Some("2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_check_does_not_become_a_sign_of_life() {
        let now = Instant::now();
        let mut schedule = HeartbeatSchedule::new(terms(By::Worker), now, 0.0);
        let (at, _) = schedule.due().expect("a check");
        schedule.enqueue();
        assert!(schedule.send(at).is_some());
        schedule.failed(at, 1.0);
        assert_eq!(schedule.times_out(), None);
        assert!(schedule.due().is_some_and(|(again, _)| again > at));
    }

    proptest! {
        /// Whatever a worker does, a waiting task sends at most one heartbeat in two thirds of an interval, and a started task at
        /// most one in an interval. A task that waits, or whose worker sends signs of life in time, never times out.
        #[test]
        fn heartbeats_are_neither_too_frequent_nor_too_late(
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
                schedule.enqueue();
                prop_assert!(schedule.send(clock).is_some());
                schedule.accepted(clock, clock, chance());
                heard = clock;
            }
        }
    }
}
