//! How families of metrics are made and registered. Those of a route have the labels `route` and `source` first.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};
use std::collections::HashMap;

/// The beginning of each name.
pub(super) const PREFIX: &str = "activity_bridge";

const ROUTE: [&str; 2] = ["route", "source"];

/// Removes the series of a route and a source from one family.
pub(super) type Removal = Box<dyn Fn(&str, &str) + Send + Sync>;

/// The options of a metric with this name.
pub(super) fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

/// Registers a metric or a family.
pub(super) fn added<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Makes the families of routes, and notes how the series of one route are removed from them.
pub(super) struct Registrar<'r> {
    registry: &'r Registry,
    removals: Vec<Removal>,
}

impl<'r> Registrar<'r> {
    pub(super) fn new(registry: &'r Registry) -> Self {
        Self {
            registry,
            removals: Vec::new(),
        }
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let labels = [ROUTE.as_slice(), labels].concat();
        self.add(IntCounterVec::new(options(name, help), &labels)?)
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.labelled_gauges(name, help, &[])
    }

    pub(super) fn labelled_gauges(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let labels = [ROUTE.as_slice(), labels].concat();
        self.add(IntGaugeVec::new(options(name, help), &labels)?)
    }

    pub(super) fn seconds(
        &mut self,
        name: &str,
        help: &str,
    ) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(options(name, help), &ROUTE)?)
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let labels = [ROUTE.as_slice(), labels].concat();
        let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, &labels)?)
    }

    /// What removes a route's series from each family that was made.
    pub(super) fn removals(self) -> Vec<Removal> {
        self.removals
    }

    fn add<T: MetricVecBuilder + 'static>(
        &mut self,
        family: MetricVec<T>,
    ) -> Result<MetricVec<T>, prometheus::Error> {
        let of = family.clone();
        let removal = move |route: &str, source: &str| remove(&of, [route, source]);
        self.removals.push(Box::new(removal));
        added(self.registry, family)
    }
}

/// Removes the series of a route and a source, whatever their other labels are.
fn remove<T: MetricVecBuilder>(family: &MetricVec<T>, route: [&str; 2]) {
    for collected in family.collect() {
        for series in collected.get_metric() {
            let labels = series.get_label().iter();
            let labels: HashMap<_, _> = labels.map(|label| (label.name(), label.value())).collect();
            if ROUTE.map(|name| labels.get(name).copied()) == route.map(Some) {
                // It fails only if the series is not there any more.
                drop(family.remove(&labels));
            }
        }
    }
}
