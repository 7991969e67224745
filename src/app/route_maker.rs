//! Makes the routes of the start and of a reload.

use super::warnings;
use crate::{
    metrics::Metrics,
    route::{QueueCredits, Route, RouteConfig},
    source::Source,
    util::Label,
};
use std::sync::Arc;

/// Makes the source of a route.
type SourceOf = Box<dyn Fn(&RouteConfig) -> Arc<dyn Source> + Send + Sync>;

/// See the module.
pub struct RouteMaker {
    source_of: SourceOf,
    credits: QueueCredits,
}

impl RouteMaker {
    /// With what makes the source of a route.
    #[must_use]
    pub fn new(
        source_of: impl Fn(&RouteConfig) -> Arc<dyn Source> + Send + Sync + 'static,
    ) -> Self {
        Self {
            source_of: Box::new(source_of),
            credits: QueueCredits::default(),
        }
    }

    /// A new route.
    pub fn make(&mut self, config: RouteConfig, metrics: &Metrics) -> Arc<Route> {
        warnings::warn_of_an_unknown_timeout(&config);
        let source = (self.source_of)(&config);
        let metrics = metrics.for_route(&config.name, source.kind().label());
        Arc::new(Route::new(config, source, metrics, &mut self.credits))
    }

    /// A route with other settings of the same service. It keeps its source, unless the settings of that change too.
    pub fn change(&mut self, route: &Route, config: RouteConfig) -> Arc<Route> {
        let source = match config.source_options() == route.config.source_options() {
            true => Arc::clone(&route.source),
            false => {
                warnings::warn_of_an_unknown_timeout(&config);
                (self.source_of)(&config)
            }
        };
        Arc::new(route.changed(config, source, &mut self.credits))
    }
}
