//! The metrics of the process, and the text that Prometheus reads.

use super::{
    families::Families,
    process::Process,
    register::{added, options},
    route::RouteMetrics,
    scraped::{self, RouteSnapshot},
};
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};
use std::time::{SystemTime, UNIX_EPOCH};

/// The metrics of the process, and the families from which the metrics of each route are made.
pub struct Metrics {
    /// Replies to tasks that had ended already or were being settled.
    pub late_replies: IntCounter,
    /// Messages put into the parking queue.
    pub parked_replies: IntCounter,
    /// The parked messages that had no room, and that nobody keeps.
    pub unparked_replies: IntCounter,
    /// Whether the last reload of the configuration, or the start, was successful.
    pub reload_successful: IntGauge,
    /// When the configuration was last read with success, in seconds since 1970.
    pub reload_time: IntGauge,
    /// Reloads that were refused.
    pub reloads_refused: IntCounter,
    /// Whether `/readyz` answers 200; set when the metrics are read.
    pub ready: IntGauge,
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
            |name: &str, help: &str| added(&registry, IntCounter::with_opts(options(name, help))?);
        let gauge =
            |name: &str, help: &str| added(&registry, IntGauge::with_opts(options(name, help))?);
        let build = options("build_info", "The version that runs. Always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        added(&registry, IntGauge::with_opts(build)?)?.set(1);
        registry.register(Box::new(Process::new()?))?;
        Ok(Self {
            late_replies: counter(
                "late_replies_total",
                "Replies to tasks that had ended already, or had an outcome on its way.",
            )?,
            parked_replies: counter(
                "parked_replies_total",
                "Messages that the bridge tried to put into activity-bridge.parked. Dead letters that no process claims are not counted.",
            )?,
            unparked_replies: counter(
                "unparked_replies_total",
                "Messages that were not parked, because the queue is full or its file can't be written. Only where the bridge is the broker. They are lost, unless their workers keep them.",
            )?,
            reload_successful: gauge(
                "config_last_reload_successful",
                "1 if the last reload of the configuration, or the start, was successful; 0 if the last reload was refused.",
            )?,
            reload_time: gauge(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read, in seconds since 1970.",
            )?,
            reloads_refused: counter(
                "config_reloads_refused_total",
                "Reloads of the configuration that were refused. The log says why.",
            )?,
            ready: gauge("ready", "1 while /readyz answers 200.")?,
            in_flight: gauge(
                "tasks_in_flight",
                "Tasks of this process that are not settled yet.",
            )?,
            broker_connected: gauge(
                "broker_connected",
                "1 while the broker is connected, blocked or not.",
            )?,
            worker_connections: gauge(
                "worker_connections",
                "Connections of workers, where the bridge is the broker. 0 with RabbitMQ.",
            )?,
            store_available: gauge(
                "store_available",
                "1 while the bridge can read and write the token store.",
            )?,
            store_unreadable: gauge(
                "store_unreadable",
                "Records and keys of the token store that this process could not read and leaves alone, at most 1,000.",
            )?,
            families,
            registry,
        })
    }

    /// The counters of one route.
    #[must_use]
    pub fn for_route(&self, route: &str, source: &str) -> RouteMetrics {
        RouteMetrics::bind(&self.families, route, source)
    }

    /// Notes that a configuration is in use since now.
    pub fn configured(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let secs = now.unwrap_or_default().as_secs();
        self.reload_time
            .set(i64::try_from(secs).unwrap_or(i64::MAX));
        self.reload_successful.set(1);
    }

    /// Notes that a reload of the configuration was refused.
    pub fn reload_refused(&self) {
        self.reloads_refused.inc();
        self.reload_successful.set(0);
    }

    /// Removes all series of a route that is gone. Whoever still has its [`RouteMetrics`] counts for nobody.
    pub fn remove_route(&self, route: &str, source: &str) {
        self.families.remove(route, source);
    }

    /// Everything, in Prometheus's text format, with what is seen of the routes now.
    ///
    /// # Errors
    ///
    /// If the encoder fails. It has no reason to.
    pub fn render(&self, routes: &[RouteSnapshot<'_>]) -> Result<Vec<u8>, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(scraped::gather(routes)?);
        families.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::{PollOutcome, RouteReason, register::PREFIX},
        task::{OutcomeKind, SettleEnd},
        util::Label,
    };
    use std::{collections::BTreeMap, time::Duration};

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
            (
                "task_leg_duration_seconds",
                &["publish", "settle", "wait", "wait-and-work", "work"],
            ),
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
        let text = String::from_utf8(metrics.render(&[]).expect("encodes")).expect("UTF-8");
        for series in [
            r#"activity_bridge_polls_total{outcome="task",route="payments",source="swf"} 0"#,
            r#"activity_bridge_settlements_total{kind="failed",outcome="gone",route="payments",source="swf"} 1"#,
            r#"activity_bridge_publishes_total{outcome="confirmed",route="payments",source="swf"} 0"#,
            "activity_bridge_late_replies_total 0",
        ] {
            assert!(text.contains(series), "no {series} in\n{text}");
        }
        let prefixes = ["#", "activity_bridge_", "process_"];
        let ours = |line: &str| prefixes.iter().any(|prefix| line.starts_with(prefix));
        assert!(text.lines().all(ours), "{text}");
    }

    #[test]
    fn a_route_that_is_gone_has_no_series_and_the_others_keep_theirs() {
        let metrics = Metrics::new().expect("well-formed names");
        let text = || String::from_utf8(metrics.render(&[]).expect("encodes")).expect("UTF-8");
        let other = metrics.for_route("mail", "swf");
        other.polled(PollOutcome::Task);
        let before = text();
        let payments = metrics.for_route("payments", "swf");
        drop(metrics.for_route("payments", "step-functions"));
        payments.settled(OutcomeKind::Failed, SettleEnd::Gone);
        metrics.remove_route("payments", "swf");
        let left = text();
        assert!(!left.contains(r#"route="payments",source="swf""#), "{left}");
        assert!(left.contains(r#"route="payments",source="step-functions""#));
        metrics.remove_route("payments", "step-functions");
        payments.settled(OutcomeKind::Failed, SettleEnd::Gone);
        let of_routes = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.contains("route="));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(of_routes(&text()), of_routes(&before));
        // One that comes again begins anew.
        let again = metrics.for_route("payments", "swf");
        again.settled(OutcomeKind::Failed, SettleEnd::Gone);
        let series =
            r#"settlements_total{kind="failed",outcome="gone",route="payments",source="swf"} 1"#;
        assert!(text().contains(series));
    }

    #[test]
    fn exactly_one_reason_of_a_route_is_1_and_what_is_not_known_has_no_series() {
        let metrics = Metrics::new().expect("well-formed names");
        let mut seen = RouteSnapshot {
            route: "mail",
            source: "swf",
            reason: RouteReason::NoConsumers,
            ready: true,
            slots: 3,
            slots_taken: 2,
            in_flight: [0, 1, 0, 0],
            oldest: Duration::from_millis(1_500),
            pending: None,
            work: None,
            unacknowledged: None,
        };
        let text = |seen: &RouteSnapshot<'_>| {
            let text = metrics.render(std::slice::from_ref(seen));
            String::from_utf8(text.expect("encodes")).expect("UTF-8")
        };
        for reason in RouteReason::ALL {
            seen.reason = *reason;
            let text = text(&seen);
            let states = || {
                text.lines()
                    .filter(|line| line.starts_with("activity_bridge_route_state{"))
            };
            assert_eq!(states().count(), RouteReason::ALL.len());
            let ones: Vec<_> = states().filter(|line| line.ends_with("} 1")).collect();
            let label = format!(r#"reason="{}""#, reason.label());
            assert!(ones.len() == 1 && ones[0].contains(&label), "{ones:?}");
        }
        let without = text(&seen);
        for absent in ["queue_unacknowledged", "tasks_pending_at_aws", "route_work"] {
            assert!(!without.contains(absent), "{absent}");
        }
        seen.unacknowledged = Some(7);
        (seen.pending, seen.work) = (Some(0), Some(3));
        let with = text(&seen);
        for series in [
            r#"activity_bridge_queue_unacknowledged{route="mail",source="swf"} 7"#,
            r#"activity_bridge_tasks_pending_at_aws{route="mail",source="swf"} 0"#,
            r#"activity_bridge_route_work{route="mail",source="swf"} 3"#,
            r#"activity_bridge_route_tasks_in_flight{route="mail",source="swf",state="waiting"} 1"#,
            r#"activity_bridge_oldest_task_age_seconds{route="mail",source="swf"} 1.5"#,
            r#"activity_bridge_slots_taken{route="mail",source="swf"} 2"#,
        ] {
            assert!(with.contains(series), "no {series} in\n{with}");
        }
        let names: Vec<_> = with
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}
