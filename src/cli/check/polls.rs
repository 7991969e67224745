//! The rows about the permission to poll. AWS tells it to nobody but who polls, and a poll may bring a task. So the bridge that runs at
//! the admin address of this configuration is asked what AWS has answered to its polls. It may have another configuration, an older one
//! for example, so none of these rows is a failure. Where no bridge runs, nothing is known, and nothing is said.

use crate::{
    admin::AdminConfig,
    cli::tasks::ask::reachable,
    config::Config,
    metrics::RouteReason,
    util::{Label, Mark, Row},
};
use axum::body::{Body, to_bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Timeout for both answers of the bridge.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Maximum length of an answer, in bytes. A route has some 20 kB of metrics.
const MAX_ANSWER_LENGTH: usize = 64 << 20;

/// A row for each route whose polls AWS has answered, or refuses.
pub(super) async fn rows(config: &Config) -> Vec<Row> {
    match timeout(ANSWER_TIMEOUT, ask(&config.admin)).await {
        Ok(Some((readiness, metrics))) => {
            let of = |route: &str| row(route, &readiness, &metrics);
            config
                .routes
                .iter()
                .filter_map(|route| of(&route.name))
                .collect()
        }
        Ok(None) | Err(_) => Vec::new(),
    }
}

async fn ask(admin: &AdminConfig) -> Option<(Readiness, String)> {
    let place = format!("http://{}", reachable(admin.listen));
    let readiness = serde_json::from_str(&get(&format!("{place}/readyz")).await?).ok()?;
    Some((readiness, get(&format!("{place}/metrics")).await?))
}

async fn get(url: &str) -> Option<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.get(url.parse().ok()?).await.ok()?;
    let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER_LENGTH).await;
    String::from_utf8(body.ok()?.into()).ok()
}

/// What is of use of `/readyz`.
#[derive(Deserialize)]
struct Readiness {
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    name: String,
    state: String,
    reason: String,
}

fn row(route: &str, readiness: &Readiness, metrics: &str) -> Option<Row> {
    let known = |known: &&Route| known.name == route;
    let Route { state, reason, .. } = readiness.routes.iter().find(known)?;
    let what = format!("route {route}: polls");
    if reason == RouteReason::Refused.label() {
        let words = format!(
            "AWS refuses the running bridge's polls (it may have another configuration): {state}"
        );
        return Some(Row::new(what, Mark::Note, words));
    }
    let answered = answered_polls(route, metrics);
    (answered > 0).then(|| {
        let polls = if answered == 1 { "poll" } else { "polls" };
        let words = format!("AWS has answered {answered} {polls} of the running bridge");
        Row::new(what, Mark::Ok, words)
    })
}

/// Number of polls of a route that AWS answered with a task, or with none.
fn answered_polls(route: &str, metrics: &str) -> u64 {
    let label = format!("route=\"{route}\"");
    let of_route = metrics.lines().filter_map(|line| {
        let labels_and_value = line.strip_prefix("activity_bridge_polls_total{")?;
        let (labels, value) = labels_and_value.split_once("} ")?;
        let mut labels = labels.split(',');
        let answered = ["outcome=\"task\"", "outcome=\"empty\""];
        let is_it = labels.clone().any(|known| known == label)
            && labels.any(|known| answered.contains(&known));
        is_it.then(|| value.parse::<u64>().ok())?
    });
    of_route.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use serde_json::json;

    fn said(reason: &str, state: &str, metrics: &str) -> Option<(Mark, String)> {
        let route = json!({ "name": "a", "state": state, "reason": reason, "ready": true });
        let readiness = json!({ "routes": [route] });
        let readiness = serde_json::from_value(readiness).expect("an answer");
        row("a", &readiness, metrics).map(|row| (row.mark, row.words))
    }

    #[test]
    fn only_what_aws_has_answered_is_said_of_polls() {
        let metrics = Metrics::new().expect("well-formed names");
        let _routes = ["a", "aa"].map(|route| metrics.for_route(route, "swf"));
        let none = String::from_utf8(metrics.render(&[]).expect("encodes")).expect("UTF-8");
        let with = |outcome: &str, route: &str| {
            let line = format!(
                "activity_bridge_polls_total{{outcome=\"{outcome}\",route=\"{route}\",source=\"swf\"}} "
            );
            assert!(none.contains(&format!("{line}0\n")), "{none}");
            none.replace(&format!("{line}0\n"), &format!("{line}3\n"))
        };
        for unanswered in [
            none.clone(),
            with("unavailable", "a"),
            with("throttled", "a"),
            with("refused", "a"),
            with("task", "aa"),
        ] {
            assert_eq!(said("polling", "polling", &unanswered), None);
        }
        for answered in ["task", "empty"] {
            let words = "AWS has answered 3 polls of the running bridge".to_owned();
            let found = said("polling", "polling", &with(answered, "a"));
            assert_eq!(found, Some((Mark::Ok, words)));
        }
        // They were permitted once.
        for state in ["refused: AccessDenied", "not valid: no such task list"] {
            let (mark, words) = said("refused", state, &with("task", "a")).expect("a row");
            assert_eq!(mark, Mark::Note, "it may have another configuration");
            assert!(
                words.starts_with("AWS refuses the running bridge's polls (it may "),
                "{words}"
            );
            assert!(words.ends_with(state), "{words}");
        }
    }
}
