//! The metrics of one route.

use super::{
    by_label::ByLabel,
    families::Families,
    labels::{DeliveryEvent, Fault, HeartbeatOutcome, Leg, PollOutcome, PublishOutcome, ReplyKind},
};
use crate::{
    task::{Death, OutcomeKind, SettleEnd},
    util::Label,
};
use prometheus::{Histogram, IntCounter, IntGauge};
use std::time::Duration;

/// The counters of one route.
pub struct RouteMetrics {
    /// Open polls.
    pub pollers: IntGauge,
    /// Tasks adopted from the store.
    pub adopted: IntCounter,
    /// Tasks whose queue the broker had lost.
    pub republished: IntCounter,
    /// Tasks that wait and that can't be in their queue.
    pub missing: IntGauge,
    pub(super) polls: ByLabel<PollOutcome, IntCounter>,
    publishes: ByLabel<PublishOutcome, IntCounter>,
    replies: ByLabel<ReplyKind, IntCounter>,
    dead_letters: ByLabel<Death, IntCounter>,
    heartbeats: ByLabel<HeartbeatOutcome, IntCounter>,
    timeout_used: Histogram,
    pub(super) settlements: ByLabel<OutcomeKind, ByLabel<SettleEnd, IntCounter>>,
    settle_retries: ByLabel<Fault, IntCounter>,
    pub(super) durations: ByLabel<SettleEnd, Histogram>,
    pub(super) legs: ByLabel<Leg, Histogram>,
    pub(super) queue_ready: IntGauge,
    pub(super) queue_consumers: IntGauge,
    pub(super) queue_credit: IntGauge,
    deliveries: ByLabel<DeliveryEvent, IntCounter>,
    /// Tasks that an acknowledgement completed before their worker finished.
    pub early_acks: IntCounter,
}

impl RouteMetrics {
    /// The series of a route in all families.
    pub(super) fn bind(families: &Families, route: &str, source: &str) -> Self {
        let labels = [route, source];
        let settled = |kind: OutcomeKind| {
            ByLabel::new(|end: SettleEnd| {
                let labels = [route, source, kind.label(), end.label()];
                families.settlements.with_label_values(&labels)
            })
        };
        Self {
            pollers: families.open_polls.with_label_values(&labels),
            polls: ByLabel::counters(&families.polls, labels),
            publishes: ByLabel::counters(&families.publishes, labels),
            replies: ByLabel::counters(&families.replies, labels),
            dead_letters: ByLabel::counters(&families.dead_letters, labels),
            heartbeats: ByLabel::counters(&families.heartbeats, labels),
            timeout_used: families.timeout_used.with_label_values(&labels),
            settlements: ByLabel::new(settled),
            settle_retries: ByLabel::counters(&families.settle_retries, labels),
            durations: ByLabel::new(|end: SettleEnd| {
                let labels = [route, source, end.label()];
                families.durations.with_label_values(&labels)
            }),
            legs: ByLabel::new(|leg: Leg| {
                let labels = [route, source, leg.label()];
                families.legs.with_label_values(&labels)
            }),
            queue_ready: families.queue_ready.with_label_values(&labels),
            queue_consumers: families.queue_consumers.with_label_values(&labels),
            queue_credit: families.queue_credit.with_label_values(&labels),
            deliveries: ByLabel::counters(&families.deliveries, labels),
            early_acks: families.early_acks.with_label_values(&labels),
            adopted: families.adopted.with_label_values(&labels),
            republished: families.republished.with_label_values(&labels),
            missing: families.missing.with_label_values(&labels),
        }
    }

    /// Counts a poll that has ended.
    pub fn polled(&self, outcome: PollOutcome) {
        self.polls[outcome].inc();
    }

    /// The number of tasks that polls have brought.
    #[must_use]
    pub fn tasks_polled(&self) -> u64 {
        self.polls[PollOutcome::Task].get()
    }

    /// Counts an attempt to publish.
    pub fn published(&self, outcome: PublishOutcome) {
        self.publishes[outcome].inc();
    }

    /// Counts a reply.
    pub fn replied(&self, kind: ReplyKind) {
        self.replies[kind].inc();
    }

    /// Counts a dead letter of a task in flight.
    pub fn dead_letter(&self, death: Death) {
        self.dead_letters[death].inc();
    }

    /// Counts a heartbeat.
    pub fn heartbeat(&self, outcome: HeartbeatOutcome) {
        self.heartbeats[outcome].inc();
    }

    /// Counts a settlement.
    pub fn settled(&self, kind: OutcomeKind, end: SettleEnd) {
        self.settlements[kind][end].inc();
    }

    /// Counts an attempt to settle that will be repeated.
    pub fn settle_retried(&self, fault: Fault) {
        self.settle_retries[fault].inc();
    }

    /// Records the time from the poll of a task to its end.
    pub fn ended(&self, end: SettleEnd, after: Duration) {
        self.durations[end].observe(after.as_secs_f64());
    }

    /// Records the time of one leg of a task.
    pub fn leg(&self, leg: Leg, took: Duration) {
        self.legs[leg].observe(took.as_secs_f64());
    }

    /// Records which part of the heartbeat timeout had passed when AWS accepted a heartbeat.
    pub fn timeout_used(&self, part: f64) {
        self.timeout_used.observe(part);
    }

    /// Counts what became of a delivery.
    pub fn delivery(&self, event: DeliveryEvent) {
        self.deliveries[event].inc();
    }

    /// Sets the numbers of messages, of consumers, and of tasks that these have room for.
    pub fn queue_seen(&self, ready: u64, consumers: u64, credit: u64) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.queue_ready.set(gauge(ready));
        self.queue_consumers.set(gauge(consumers));
        self.queue_credit.set(gauge(credit));
    }
}
