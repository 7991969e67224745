//! The families of metrics that count: those from which the series of each route are made. They live as long as the process.

use super::register::{Registrar, Removal};
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry};

/// The buckets of the time from the poll to the settlement, in seconds: 10 ms to 12 hours.
const DURATION_BUCKETS: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 43_200.0,
];

/// The buckets of the time of one leg, in seconds: 5 ms to 12 hours.
const LEG_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0, 3_600.0, 43_200.0,
];

/// The buckets of the part of a heartbeat timeout. An interval is a third of the timeout, and 1 is the end of the timeout.
const PART_BUCKETS: &[f64] = &[0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// See the module.
pub(super) struct Families {
    pub(super) polls: IntCounterVec,
    pub(super) open_polls: IntGaugeVec,
    pub(super) publishes: IntCounterVec,
    pub(super) replies: IntCounterVec,
    pub(super) dead_letters: IntCounterVec,
    pub(super) heartbeats: IntCounterVec,
    pub(super) timeout_used: HistogramVec,
    pub(super) settlements: IntCounterVec,
    pub(super) settle_retries: IntCounterVec,
    pub(super) durations: HistogramVec,
    pub(super) legs: HistogramVec,
    pub(super) queue_ready: IntGaugeVec,
    pub(super) queue_consumers: IntGaugeVec,
    pub(super) queue_credit: IntGaugeVec,
    pub(super) deliveries: IntCounterVec,
    pub(super) early_acks: IntCounterVec,
    pub(super) adopted: IntCounterVec,
    pub(super) republished: IntCounterVec,
    pub(super) missing: IntGaugeVec,
    removals: Vec<Removal>,
}

impl Families {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let mut of = Registrar::new(registry);
        Ok(Self {
            polls: of.counters(
                "polls_total",
                "Polls that AWS answered or that failed.",
                &["outcome"],
            )?,
            open_polls: of.gauges(
                "open_polls",
                "Polls that are open now, or wait for their turn while AWS throttles.",
            )?,
            publishes: of.counters(
                "publishes_total",
                "Attempts to publish a task. All but the confirmed ones are tried again.",
                &["outcome"],
            )?,
            replies: of.counters(
                "replies_total",
                "Replies to tasks in flight. started and heartbeat count as alive.",
                &["kind"],
            )?,
            dead_letters: of.counters(
                "dead_letters_total",
                "Tasks in flight that came back from a queue. The bridge fails them, unless the route says dead_letters = false.",
                &["kind"],
            )?,
            heartbeats: of.counters(
                "heartbeats_total",
                "Heartbeats sent to AWS, the bridge's own and the workers'.",
                &["outcome"],
            )?,
            timeout_used: of.histograms(
                "heartbeat_timeout_used_ratio",
                "Part of the heartbeat timeout that had passed when AWS accepted a heartbeat. 1 is the deadline. Only of tasks with a known timeout.",
                &[],
                PART_BUCKETS,
            )?,
            settlements: of.counters(
                "settlements_total",
                "Outcomes brought to AWS.",
                &["kind", "outcome"],
            )?,
            settle_retries: of.counters(
                "settle_retries_total",
                "Attempts to settle that failed and are repeated.",
                &["kind"],
            )?,
            durations: of.histograms(
                "task_duration_seconds",
                "Time from the poll that brought a task to its settlement.",
                &["outcome"],
                DURATION_BUCKETS,
            )?,
            legs: of.histograms(
                "task_leg_duration_seconds",
                "Time of each leg of a task's way.",
                &["leg"],
                LEG_BUCKETS,
            )?,
            queue_ready: of.gauges(
                "queue_ready_messages",
                "Messages that wait in the route's queue, read about once a second. 0 for a route that names no queue.",
            )?,
            queue_consumers: of.gauges(
                "queue_consumers",
                "Consumers of the route's queue, read about once a second. 0 for a route that names no queue.",
            )?,
            queue_credit: of.gauges(
                "queue_credit",
                "Tasks that the consumers of the route's queue have room for, where the bridge is the broker. 0 with RabbitMQ.",
            )?,
            deliveries: of.counters(
                "deliveries_total",
                "What became of deliveries, where the bridge is the broker. came-back counts rejections with a requeue and lost connections.",
                &["kind"],
            )?,
            early_acks: of.counters(
                "early_acks_total",
                "Tasks that an acknowledgement completed, and about which their worker spoke afterwards. More than 0 means that a worker acknowledges before it has finished.",
                &[],
            )?,
            adopted: of.counters(
                "adopted_tasks_total",
                "Tasks adopted from the token store: at the start, and from other processes.",
                &[],
            )?,
            republished: of.counters(
                "republished_total",
                "Tasks published again because the broker had lost their queue, or because a person released them.",
                &[],
            )?,
            missing: of.gauges(
                "tasks_missing_from_queue",
                "Tasks that wait for a worker while their queue has been empty and without consumers for a minute. It may have been purged.",
            )?,
            removals: of.removals(),
        })
    }

    /// Removes all series of a route and a source.
    pub(super) fn remove(&self, route: &str, source: &str) {
        for removal in &self.removals {
            removal(route, source);
        }
    }
}
