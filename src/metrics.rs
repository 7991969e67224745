//! What is counted, for Prometheus. Label sets are closed, and every series is there from the start, at zero.

use crate::task::Death;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::time::Duration;

const PREFIX: &str = "activity_bridge";

const ROUTE: [&str; 2] = ["route", "source"];

const FAULTS: [&str; 5] = ["throttled", "unavailable", "refused", "invalid", "gone"];

const ENDS: [&str; 4] = ["accepted", "gone", "expired", "rejected"];

const KINDS: [&str; 3] = ["completed", "failed", "canceled"];

/// From polled to settled: 10 ms to 12 hours.
const DURATION_BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 43_200.0,
];

/// The counters of the process, and the families from which each route's are made.
pub struct Metrics {
    /// Replies to tasks that had ended, or were being settled, already.
    pub late_replies: IntCounter,
    /// Messages put into the parking queue.
    pub parked_replies: IntCounter,
    /// Tasks in flight; set when it is read.
    pub in_flight: IntGauge,
    /// Whether the broker is connected; set when it is read.
    pub broker_connected: IntGauge,
    /// Whether the token store can be used; set when it is read.
    pub store_available: IntGauge,
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
    adopted: IntCounterVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// Only where a name is malformed or taken twice, which the tests would show.
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
            in_flight: gauge("tasks_in_flight", "Tasks polled and not yet settled.")?,
            broker_connected: gauge(
                "broker_connected",
                "1 while the broker is connected, blocked or not.",
            )?,
            store_available: gauge(
                "store_available",
                "1 while the token store can be read and written.",
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
        let counters =
            |family: &IntCounterVec, last: &[&'static str]| ByLabel::new(family, labels, last);
        let outcomes = |first: &'static str| [&[first], FAULTS.as_slice()].concat();
        let settled = |kind| {
            let bind = |end| {
                let labels = [route, source, kind, end];
                (end, families.settlements.with_label_values(&labels))
            };
            (kind, ByLabel(ENDS.map(bind).to_vec()))
        };
        let duration = |end| {
            let labels = [route, source, end];
            (end, families.durations.with_label_values(&labels))
        };
        RouteMetrics {
            pollers: families.open_polls.with_label_values(&labels),
            polls: counters(
                &families.polls,
                &[&["empty"], outcomes("task").as_slice()].concat(),
            ),
            publishes: counters(
                &families.publishes,
                &[
                    "confirmed",
                    "away",
                    "unroutable",
                    "nacked",
                    "refused",
                    "unconfirmed",
                ],
            ),
            replies: counters(
                &families.replies,
                &[KINDS.as_slice(), &["alive", "unusable"]].concat(),
            ),
            dead_letters: counters(&families.dead_letters, &Death::ALL.map(Death::kind)),
            heartbeats: counters(&families.heartbeats, &outcomes("accepted")),
            settlements: KINDS.map(settled),
            settle_retries: counters(&families.settle_retries, &FAULTS),
            durations: ENDS.map(duration),
            queue_ready: families.queue_ready.with_label_values(&labels),
            queue_consumers: families.queue_consumers.with_label_values(&labels),
            adopted: families.adopted.with_label_values(&labels),
        }
    }

    /// Everything, in Prometheus's text format.
    ///
    /// # Errors
    ///
    /// Where the encoder fails, which it has no reason to.
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
            adopted: counters(
                "adopted_tasks_total",
                "Tasks taken on from the token store, at the start or after another process.",
                &[],
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

/// Counters that differ in their last label alone, found without a lock or a hash.
struct ByLabel(Vec<(&'static str, IntCounter)>);

impl ByLabel {
    fn new(family: &IntCounterVec, route: [&str; 2], last: &[&'static str]) -> Self {
        let bind = |label: &&'static str| {
            let labels = [route[0], route[1], label];
            (*label, family.with_label_values(&labels))
        };
        Self(last.iter().map(bind).collect())
    }

    fn count(&self, label: &str) {
        let found = self.0.iter().find(|(bound, _)| *bound == label);
        debug_assert!(
            found.is_some(),
            "the label {label} is not in its closed set"
        );
        if let Some((_, counter)) = found {
            counter.inc();
        }
    }
}

/// The counters of one route.
pub struct RouteMetrics {
    /// Polls held open now.
    pub pollers: IntGauge,
    /// Tasks taken on from the store.
    pub adopted: IntCounter,
    polls: ByLabel,
    publishes: ByLabel,
    replies: ByLabel,
    dead_letters: ByLabel,
    heartbeats: ByLabel,
    settlements: [(&'static str, ByLabel); 3],
    settle_retries: ByLabel,
    durations: [(&'static str, Histogram); 4],
    queue_ready: IntGauge,
    queue_consumers: IntGauge,
}

impl RouteMetrics {
    /// A poll was answered.
    pub fn polled(&self, outcome: &str) {
        self.polls.count(outcome);
    }

    /// An attempt to publish ended.
    pub fn published(&self, outcome: &str) {
        self.publishes.count(outcome);
    }

    /// A reply came.
    pub fn replied(&self, kind: &str) {
        self.replies.count(kind);
    }

    /// A task's message came back from a queue.
    pub fn dead_letter(&self, kind: &str) {
        self.dead_letters.count(kind);
    }

    /// A heartbeat was answered.
    pub fn heartbeat(&self, outcome: &str) {
        self.heartbeats.count(outcome);
    }

    /// A settlement ended.
    pub fn settled(&self, kind: &str, outcome: &str) {
        if let Some((_, ends)) = self.settlements.iter().find(|(bound, _)| *bound == kind) {
            ends.count(outcome);
        }
    }

    /// An attempt to settle must be repeated.
    pub fn settle_retried(&self, fault: &str) {
        self.settle_retries.count(fault);
    }

    /// A task left the table of flights, this long after it was polled.
    pub fn ended(&self, outcome: &str, after: Duration) {
        if let Some((_, histogram)) = self.durations.iter().find(|(bound, _)| *bound == outcome) {
            histogram.observe(after.as_secs_f64());
        }
    }

    /// The queue was looked at.
    pub fn queue_seen(&self, ready: u64, consumers: u64) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.queue_ready.set(gauge(ready));
        self.queue_consumers.set(gauge(consumers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_with_the_prefix_and_its_labels() {
        let metrics = Metrics::new().expect("well-formed names");
        let route = metrics.for_route("payments", "swf");
        route.settled("failed", "gone");
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
