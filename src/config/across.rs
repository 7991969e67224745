//! Checks across the settings of several parts.

use crate::{
    broker::BrokerConfig,
    route::RouteConfig,
    settings::Reader,
    source::{SourceConfig, step_functions::StepFunctionsConfig},
    store::StoreConfig,
};
use std::collections::HashMap;

/// Reports routes with the same name. They would share their metrics, and their log lines could not be told apart.
pub(super) fn refuse_twins(root: &Reader<'_>, routes: &[RouteConfig]) {
    let mut names = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        if route.name.is_empty() {
            continue;
        }
        if let Some(first) = names.insert(&route.name, index) {
            let rule = format!("routes[{first}] has this name too; give each its own");
            let path = format!("routes[{index}].name");
            root.problem(&path, Some(format!("{:?}", route.name)), rule);
        }
    }
}

/// Reports routes to the same queue that understand an acknowledgement differently. The worker can't know whose task it has.
pub(super) fn refuse_different_acks(root: &Reader<'_>, routes: &[RouteConfig]) {
    let mut queues = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(queue) = route.destination.queue() else {
            continue;
        };
        let (first, ack) = *queues.entry(&queue.name).or_insert((index, route.ack.ack));
        if ack != route.ack.ack {
            let rule = format!(
                "routes[{first}] has the same queue and ack = {:?}; give both the same, or each a queue of its own",
                ack.label()
            );
            let value = Some(format!("{:?}", route.ack.ack.label()));
            root.problem(&format!("routes[{index}].ack"), value, rule);
        }
    }
}

/// Reports the users' routes that there are not. Such a user would see nothing, and the reason would be hard to find.
pub(super) fn refuse_unknown_routes(
    root: &Reader<'_>,
    broker: &BrokerConfig,
    routes: &[RouteConfig],
) {
    let BrokerConfig::Endpoint(endpoint) = broker else {
        return;
    };
    let known: Vec<_> = routes.iter().map(|route| route.name.as_str()).collect();
    for (index, user) in endpoint.users.iter().enumerate() {
        for (place, name) in user.routes.iter().flatten().enumerate() {
            if !known.contains(&name.as_str()) {
                let path = format!("amqp.users[{index}].routes[{place}]");
                let rule = format!(
                    "there is no such route; the routes are {}",
                    known.join(", ")
                );
                root.problem(&path, Some(format!("{name:?}")), rule);
            }
        }
    }
}

/// The ending of the file of parked replies, beside the store's file.
const PARKED_ENDING: &str = "parked";

/// Puts the parked replies beside the store `file`, unless the configuration says another place.
pub(super) fn place_parked_replies(
    root: &Reader<'_>,
    broker: &mut BrokerConfig,
    store: &StoreConfig,
) {
    let (BrokerConfig::Endpoint(endpoint), StoreConfig::File(file)) = (broker, store) else {
        return;
    };
    let beside = || {
        let path = file.path.with_extension(PARKED_ENDING);
        root.compute("amqp.parked_path", &path);
        path
    };
    let path = endpoint.parked_path.get_or_insert_with(beside);
    if *path == file.path {
        let rule = "is the file of the token store too; give it a path of its own";
        root.problem("amqp.parked_path", Some(format!("{path:?}")), rule);
    }
}

/// Reports activities of another AWS region. The bridge polls in its own region, where AWS would not find them.
pub(super) fn refuse_other_regions(root: &Reader<'_>, region: &str, routes: &[RouteConfig]) {
    for (index, route) in routes.iter().enumerate() {
        let SourceConfig::StepFunctions(StepFunctionsConfig { activity_arn, .. }) = &route.source
        else {
            continue;
        };
        if let Some(other) = activity_arn.split(':').nth(3)
            && other != region
        {
            let path = format!("routes[{index}].step_functions.activity_arn");
            let rule =
                format!("is in {other}, and aws.region is {region}; a bridge serves one region");
            root.problem(&path, Some(format!("{activity_arn:?}")), rule);
        }
    }
}
