//! The metrics, for Prometheus. The set of labels is closed, and every series exists from the start with the value 0.
//!
//! This module owns the names, the labels and the counters. The loops decide when something is counted.

use crate::{
    task::{Death, OutcomeKind, SettleEnd},
    util::{Label, labels},
};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{marker::PhantomData, ops::Index, time::Duration};

const PREFIX: &str = "activity_bridge";

const ROUTE: [&str; 2] = ["route", "source"];

/// The buckets of the time from the poll to the settlement, in seconds: 10 ms to 12 hours.
const DURATION_BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 43_200.0,
];

labels! {
    /// Why a call to AWS failed.
    pub enum Fault {
        /// AWS throttles the rate of calls, or limits something else.
        Throttled = "throttled",
        /// AWS could not be reached, did not answer in time, or had an internal fault.
        Unavailable = "unavailable",
        /// AWS refuses the call. A person must fix the cause.
        Refused = "refused",
        /// The request is not valid.
        Invalid = "invalid",
        /// The token is dead.
        Gone = "gone",
    }
}

labels! {
    /// The result of a poll.
    pub enum PollOutcome {
        /// AWS answered without a task.
        Empty = "empty",
        /// AWS answered with a task.
        Task = "task",
        /// [`Fault::Throttled`].
        Throttled = "throttled",
        /// [`Fault::Unavailable`].
        Unavailable = "unavailable",
        /// [`Fault::Refused`].
        Refused = "refused",
        /// [`Fault::Invalid`].
        Invalid = "invalid",
        /// [`Fault::Gone`].
        Gone = "gone",
    }
}

impl From<Fault> for PollOutcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Unavailable => Self::Unavailable,
            Fault::Refused => Self::Refused,
            Fault::Invalid => Self::Invalid,
            Fault::Gone => Self::Gone,
        }
    }
}

labels! {
    /// What became of a delivery, where the bridge is the broker.
    pub enum DeliveryEvent {
        /// A worker got the task.
        Delivered = "delivered",
        /// The task waits for a worker again.
        CameBack = "came-back",
        /// A worker acknowledged the task, which completes it.
        Acknowledged = "acknowledged",
        /// A worker acknowledged the task, which settles nothing.
        Released = "released",
    }
}

labels! {
    /// The result of an attempt to publish a task's message.
    pub enum PublishOutcome {
        /// The broker confirmed the message.
        Confirmed = "confirmed",
        /// There was no connection to the broker.
        Away = "away",
        /// No queue takes the message.
        Unroutable = "unroutable",
        /// The queue is full, or can't be written.
        Nacked = "nacked",
        /// The broker refused the message.
        Refused = "refused",
        /// No confirm came.
        Unconfirmed = "unconfirmed",
    }
}

labels! {
    /// The kind of a reply.
    pub enum ReplyKind {
        /// [`OutcomeKind::Completed`].
        Completed = "completed",
        /// [`OutcomeKind::Failed`].
        Failed = "failed",
        /// [`OutcomeKind::Canceled`].
        Canceled = "canceled",
        /// The worker is alive.
        Alive = "alive",
        /// The reply can't be used.
        Unusable = "unusable",
    }
}

impl From<OutcomeKind> for ReplyKind {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Completed => Self::Completed,
            OutcomeKind::Failed => Self::Failed,
            OutcomeKind::Canceled => Self::Canceled,
        }
    }
}

labels! {
    /// The result of a heartbeat.
    pub enum HeartbeatOutcome {
        /// AWS accepted the heartbeat.
        Accepted = "accepted",
        /// [`Fault::Throttled`].
        Throttled = "throttled",
        /// [`Fault::Unavailable`].
        Unavailable = "unavailable",
        /// [`Fault::Refused`].
        Refused = "refused",
        /// [`Fault::Invalid`].
        Invalid = "invalid",
        /// [`Fault::Gone`].
        Gone = "gone",
    }
}

impl From<Fault> for HeartbeatOutcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Unavailable => Self::Unavailable,
            Fault::Refused => Self::Refused,
            Fault::Invalid => Self::Invalid,
            Fault::Gone => Self::Gone,
        }
    }
}

/// The metrics of the process, and the families from which the metrics of each route are made.
pub struct Metrics {
    /// Replies to tasks that had ended already or were being settled.
    pub late_replies: IntCounter,
    /// Messages put into the parking queue.
    pub parked_replies: IntCounter,
    /// The parked messages that had no room, and that nobody keeps.
    pub unparked_replies: IntCounter,
    /// Tasks in flight; set when the metrics are read.
    pub in_flight: IntGauge,
    /// Whether the broker is connected; set when the metrics are read.
    pub broker_connected: IntGauge,
    /// Connections of workers, where the bridge is the broker.
    pub worker_connections: IntGauge,
    /// Whether the token store is available; set when the metrics are read.
    pub store_available: IntGauge,
    /// What this process could not read of the token store; set when the metrics are read.
    pub store_unreadable: IntGauge,
    registry: Registry,
    families: Families,
}

struct Families {
    polls: IntCounterVec,
    open_polls: IntGaugeVec,
    publishes: IntCounterVec,
    replies: IntCounterVec,
    dead_letters: IntCounterVec,
    heartbeats: IntCounterVec,
    settlements: IntCounterVec,
    settle_retries: IntCounterVec,
    durations: HistogramVec,
    queue_ready: IntGaugeVec,
    queue_consumers: IntGaugeVec,
    queue_unacknowledged: IntGaugeVec,
    queue_credit: IntGaugeVec,
    deliveries: IntCounterVec,
    early_acks: IntCounterVec,
    adopted: IntCounterVec,
    republished: IntCounterVec,
    missing: IntGaugeVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// If a name is malformed or registered twice. The tests would show that.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        let counter =
            |name: &str, help: &str| added(&registry, IntCounter::with_opts(opts(name, help))?);
        let gauge =
            |name: &str, help: &str| added(&registry, IntGauge::with_opts(opts(name, help))?);
        let build = opts("build_info", "The version that runs; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        added(&registry, IntGauge::with_opts(build)?)?.set(1);
        Ok(Self {
            late_replies: counter(
                "late_replies_total",
                "Replies to tasks that had ended, or were being settled, already.",
            )?,
            parked_replies: counter(
                "parked_replies_total",
                "Messages put into the parking queue.",
            )?,
            unparked_replies: counter(
                "unparked_replies_total",
                "Messages for the parking queue that it had no room for. parked_replies_total counts them too.",
            )?,
            in_flight: gauge("tasks_in_flight", "Tasks polled and not yet settled.")?,
            broker_connected: gauge(
                "broker_connected",
                "1 while the broker is connected, blocked or not.",
            )?,
            worker_connections: gauge(
                "worker_connections",
                "Connections of workers, where the bridge is the broker.",
            )?,
            store_available: gauge(
                "store_available",
                "1 while the token store can be read and written.",
            )?,
            store_unreadable: gauge(
                "store_unreadable",
                "Records and keys of the token store that this process could not read and leaves alone.",
            )?,
            families,
            registry,
        })
    }

    /// The counters of one route.
    #[must_use]
    pub fn for_route(&self, route: &str, source: &str) -> RouteMetrics {
        let families = &self.families;
        let labels = [route, source];
        let settled = |kind: OutcomeKind| {
            ByLabel::new(|end: SettleEnd| {
                let labels = [route, source, kind.label(), end.label()];
                families.settlements.with_label_values(&labels)
            })
        };
        RouteMetrics {
            pollers: families.open_polls.with_label_values(&labels),
            polls: ByLabel::counters(&families.polls, labels),
            publishes: ByLabel::counters(&families.publishes, labels),
            replies: ByLabel::counters(&families.replies, labels),
            dead_letters: ByLabel::counters(&families.dead_letters, labels),
            heartbeats: ByLabel::counters(&families.heartbeats, labels),
            settlements: ByLabel::new(settled),
            settle_retries: ByLabel::counters(&families.settle_retries, labels),
            durations: ByLabel::new(|end: SettleEnd| {
                let labels = [route, source, end.label()];
                families.durations.with_label_values(&labels)
            }),
            queue_ready: families.queue_ready.with_label_values(&labels),
            queue_consumers: families.queue_consumers.with_label_values(&labels),
            queue_unacknowledged: families.queue_unacknowledged.with_label_values(&labels),
            queue_credit: families.queue_credit.with_label_values(&labels),
            deliveries: ByLabel::counters(&families.deliveries, labels),
            early_acks: families.early_acks.with_label_values(&labels),
            adopted: families.adopted.with_label_values(&labels),
            republished: families.republished.with_label_values(&labels),
            missing: families.missing.with_label_values(&labels),
        }
    }

    /// Everything, in Prometheus's text format.
    ///
    /// # Errors
    ///
    /// If the encoder fails. It has no reason to.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Families {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, last: &[&str]| {
            let labels = [ROUTE.as_slice(), last].concat();
            added(registry, IntCounterVec::new(opts(name, help), &labels)?)
        };
        let gauges =
            |name: &str, help: &str| added(registry, IntGaugeVec::new(opts(name, help), &ROUTE)?);
        let duration = HistogramOpts::new(
            "task_duration_seconds",
            "From the poll that brought a task to its settlement.",
        );
        let duration = duration
            .namespace(PREFIX)
            .buckets(DURATION_BUCKETS.to_vec());
        Ok(Self {
            polls: counters("polls_total", "Polls answered.", &["outcome"])?,
            open_polls: gauges("open_polls", "Polls held open now.")?,
            publishes: counters(
                "publishes_total",
                "Attempts to publish a task's message.",
                &["outcome"],
            )?,
            replies: counters(
                "replies_total",
                "Replies to tasks in flight, by what they say.",
                &["kind"],
            )?,
            dead_letters: counters(
                "dead_letters_total",
                "Tasks in flight that came back from a queue, by why.",
                &["kind"],
            )?,
            heartbeats: counters("heartbeats_total", "Heartbeats sent to AWS.", &["outcome"])?,
            settlements: counters("settlements_total", "Tasks settled.", &["kind", "outcome"])?,
            settle_retries: counters(
                "settle_retries_total",
                "Attempts to settle that must be repeated, by the fault.",
                &["kind"],
            )?,
            durations: added(
                registry,
                HistogramVec::new(duration, &["route", "source", "outcome"])?,
            )?,
            queue_ready: gauges(
                "queue_ready_messages",
                "Messages waiting in the route's queue.",
            )?,
            queue_consumers: gauges("queue_consumers", "Consumers of the route's queue.")?,
            queue_unacknowledged: gauges(
                "queue_unacknowledged",
                "Tasks of the route's queue that workers have and have not acknowledged.",
            )?,
            queue_credit: gauges(
                "queue_credit",
                "Tasks that the consumers of the route's queue have room for.",
            )?,
            deliveries: counters(
                "deliveries_total",
                "Deliveries to workers, where the bridge is the broker.",
                &["kind"],
            )?,
            early_acks: counters(
                "early_acks_total",
                "Tasks that an acknowledgement completed before their worker finished.",
                &[],
            )?,
            adopted: counters(
                "adopted_tasks_total",
                "Tasks taken on from the token store, at the start or after another process.",
                &[],
            )?,
            republished: counters(
                "republished_total",
                "Tasks published again because the broker had lost their queue, or because a person released them.",
                &[],
            )?,
            missing: gauges(
                "tasks_missing_from_queue",
                "Tasks that wait for a worker, while their queue has been empty and without consumers for a minute.",
            )?,
        })
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

fn added<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// One series for each value of a label, found without a lock, a hash or a comparison.
struct ByLabel<L, T>(Vec<T>, PhantomData<L>);

impl<L: Label, T> ByLabel<L, T> {
    fn new(bind: impl Fn(L) -> T) -> Self {
        Self(L::ALL.iter().copied().map(bind).collect(), PhantomData)
    }
}

impl<L: Label> ByLabel<L, IntCounter> {
    fn counters(family: &IntCounterVec, [route, source]: [&str; 2]) -> Self {
        Self::new(|label| family.with_label_values(&[route, source, label.label()]))
    }
}

impl<L: Label, T> Index<L> for ByLabel<L, T> {
    type Output = T;

    fn index(&self, label: L) -> &T {
        &self.0[label.index()]
    }
}

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
    polls: ByLabel<PollOutcome, IntCounter>,
    publishes: ByLabel<PublishOutcome, IntCounter>,
    replies: ByLabel<ReplyKind, IntCounter>,
    dead_letters: ByLabel<Death, IntCounter>,
    heartbeats: ByLabel<HeartbeatOutcome, IntCounter>,
    settlements: ByLabel<OutcomeKind, ByLabel<SettleEnd, IntCounter>>,
    settle_retries: ByLabel<Fault, IntCounter>,
    durations: ByLabel<SettleEnd, Histogram>,
    queue_ready: IntGauge,
    queue_consumers: IntGauge,
    /// Tasks of the route's queue that workers have.
    pub queue_unacknowledged: IntGauge,
    queue_credit: IntGauge,
    deliveries: ByLabel<DeliveryEvent, IntCounter>,
    /// Tasks that an acknowledgement completed before their worker finished.
    pub early_acks: IntCounter,
}

impl RouteMetrics {
    /// Counts a poll that has ended.
    pub fn polled(&self, outcome: PollOutcome) {
        self.polls[outcome].inc();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Dashboards and alerts name these.
    #[test]
    fn the_values_of_each_label_are_these_and_no_others() {
        let metrics = Metrics::new().expect("well-formed names");
        drop(metrics.for_route("payments", "swf"));
        let mut found = BTreeMap::<String, Vec<String>>::new();
        for family in metrics.registry.gather() {
            for series in family.get_metric() {
                let own = series.get_label().iter().map(|label| label.value());
                let own: Vec<_> = own.filter(|of| !["payments", "swf"].contains(of)).collect();
                let values = found.entry(family.name().to_owned()).or_default();
                values.push(own.join("/"));
            }
        }
        let kinds = ["canceled", "completed", "failed"];
        let ends = ["accepted", "expired", "gone", "rejected"];
        let settled = kinds.map(|kind| ends.map(|end| format!("{kind}/{end}")));
        let settled = settled.concat();
        let settled: Vec<_> = settled.iter().map(String::as_str).collect();
        for (family, expected) in [
            (
                "polls_total",
                &[
                    "empty",
                    "gone",
                    "invalid",
                    "refused",
                    "task",
                    "throttled",
                    "unavailable",
                ][..],
            ),
            (
                "publishes_total",
                &[
                    "away",
                    "confirmed",
                    "nacked",
                    "refused",
                    "unconfirmed",
                    "unroutable",
                ],
            ),
            (
                "replies_total",
                &["alive", "canceled", "completed", "failed", "unusable"],
            ),
            (
                "dead_letters_total",
                &["delivery-limit", "dropped", "expired", "rejected"],
            ),
            (
                "heartbeats_total",
                &[
                    "accepted",
                    "gone",
                    "invalid",
                    "refused",
                    "throttled",
                    "unavailable",
                ],
            ),
            (
                "deliveries_total",
                &["acknowledged", "came-back", "delivered", "released"],
            ),
            ("settlements_total", &settled),
            (
                "settle_retries_total",
                &["gone", "invalid", "refused", "throttled", "unavailable"],
            ),
            ("task_duration_seconds", &ends),
        ] {
            let mut values = found[&format!("{PREFIX}_{family}")].clone();
            values.sort();
            assert_eq!(values, expected, "{family}");
        }
    }

    #[test]
    fn every_series_is_there_from_the_start_with_the_prefix_and_its_labels() {
        let metrics = Metrics::new().expect("well-formed names");
        let route = metrics.for_route("payments", "swf");
        route.settled(OutcomeKind::Failed, SettleEnd::Gone);
        let text = String::from_utf8(metrics.render().expect("encodes")).expect("UTF-8");
        for series in [
            r#"activity_bridge_polls_total{outcome="task",route="payments",source="swf"} 0"#,
            r#"activity_bridge_settlements_total{kind="failed",outcome="gone",route="payments",source="swf"} 1"#,
            r#"activity_bridge_publishes_total{outcome="confirmed",route="payments",source="swf"} 0"#,
            "activity_bridge_late_replies_total 0",
        ] {
            assert!(text.contains(series), "no {series} in\n{text}");
        }
        let ours = |line: &str| line.starts_with('#') || line.starts_with("activity_bridge_");
        assert!(text.lines().all(ours));
    }
}
