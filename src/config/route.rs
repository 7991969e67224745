//! The settings of one route.

use super::{
    Destination, destination,
    heartbeat::{self, HeartbeatConfig},
    reader::Reader,
};
use std::{ops::RangeInclusive, time::Duration};

/// A route: one source of tasks, and where they go.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// The name in metrics, logs and headers.
    pub name: String,
    /// Where tasks go.
    pub destination: Destination,
    /// Whether a dead letter ends its task.
    pub dead_letters: bool,
    /// Whether a message expires in its queue when AWS gives up on the task.
    pub expire_at_deadline: bool,
    /// The priority of the messages.
    pub priority: Option<u8>,
    /// The bound on open polls and tasks in flight together.
    pub max_in_flight: usize,
    /// How many polls are open at once.
    pub pollers: Pollers,
    /// Whether to poll though nobody consumes from the queue.
    pub poll_without_consumers: bool,
    /// No polling while more messages than this are ready in the queue.
    pub max_ready: u64,
    /// How long a task is offered to the broker before it is failed back to AWS.
    pub publish_within: Duration,
    /// The activity type's start-to-close timeout, where it is said.
    pub start_to_close: Option<Duration>,
    /// How its tasks are kept alive.
    pub heartbeat: HeartbeatConfig,
    /// What becomes of a result that is too long for AWS.
    pub oversize_result: OversizeResult,
    /// Whether a task's body begins with its properties, for clients that show their user the body alone.
    pub properties_in_body: bool,
    /// Where tasks come from.
    pub source: SourceConfig,
}

/// How many polls a route holds open. `1 <= min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pollers {
    /// When the task list is quiet.
    pub min: usize,
    /// When every poll comes back with a task.
    pub max: usize,
}

/// What becomes of a result that is too long for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OversizeResult {
    /// The task is failed with a reason that says so, and the reply is parked.
    Fail,
    /// The reply is parked, and the task stays open.
    Park,
}

/// Where a route's tasks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An SWF task list.
    Swf {
        /// The domain.
        domain: String,
        /// The task list.
        task_list: String,
    },
}

const SECONDS: RangeInclusive<u64> = 1..=31_536_000;

/// Reads a route; `None` where it misses what has no default. Problems are noted either way.
pub(super) fn read(mut route: Reader<'_>) -> Option<RouteConfig> {
    let name = required(&mut route, "name", name_rule);
    let dead_letters = route.flag("dead_letters").unwrap_or(true);
    let priority = route.integer("priority", 0..=255);
    let blind = route.has("exchange") && !route.has("queue");
    let destination = destination::read(&mut route, dead_letters);
    let poll_without_consumers = route.flag("poll_without_consumers").unwrap_or(false);
    if blind && !poll_without_consumers {
        let rule = "must be true where no queue is named, because the bridge can't see who consumes; or add `queue`";
        route.problem("poll_without_consumers", None, rule);
    }
    let max_in_flight = integer(&mut route, "max_in_flight", 1..=60_000).unwrap_or(100);
    let publish_within = integer(&mut route, "publish_within_secs", SECONDS).unwrap_or(300);
    let start_to_close = integer(&mut route, "start_to_close_secs", SECONDS);
    let oversize_result = route.text("oversize_result", |text| match text {
        "fail" => Ok(OversizeResult::Fail),
        "park" => Ok(OversizeResult::Park),
        _ => Err("must be \"fail\" or \"park\"".to_owned()),
    });
    let heartbeat = heartbeat::read(route.table("heartbeat"));

    let read = RouteConfig {
        name: name.unwrap_or_default(),
        destination,
        dead_letters,
        expire_at_deadline: route.flag("expire_at_deadline").unwrap_or(false),
        priority: priority.and_then(|priority| u8::try_from(priority).ok()),
        max_in_flight,
        pollers: read_pollers(&mut route, max_in_flight),
        poll_without_consumers,
        max_ready: route
            .integer("max_ready", 1..=1_000_000_000)
            .unwrap_or(max_in_flight as u64),
        publish_within: Duration::from_secs(publish_within as u64),
        start_to_close: start_to_close.map(|secs| Duration::from_secs(secs as u64)),
        heartbeat,
        oversize_result: oversize_result.unwrap_or(OversizeResult::Fail),
        properties_in_body: route.flag("properties_in_body").unwrap_or(false),
        source: read_source(&mut route)?,
    };
    route.finish();
    Some(read)
}

fn integer(
    reader: &mut Reader<'_>,
    key: &'static str,
    bounds: RangeInclusive<u64>,
) -> Option<usize> {
    let number = reader.integer(key, bounds)?;
    usize::try_from(number).ok()
}

pub(super) fn required<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    rule: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    if !reader.has(key) {
        reader.problem(key, None, "is missing");
    }
    reader.text(key, rule)
}

fn read_pollers(route: &mut Reader<'_>, max_in_flight: usize) -> Pollers {
    let mut table = route.table("pollers");
    // 1,000 is the number of polls that SWF holds open for one task list.
    let min = integer(&mut table, "min", 1..=1_000);
    let max = integer(&mut table, "max", 1..=1_000);
    let pollers = Pollers {
        min: min.unwrap_or_else(|| 2.min(max.unwrap_or(2))),
        max: max.unwrap_or_else(|| 20.max(min.unwrap_or(20))),
    };
    if pollers.min > pollers.max {
        let rule = format!("must not exceed pollers.max, which is {}", pollers.max);
        table.problem("min", Some(pollers.min.to_string()), rule);
    }
    table.finish();
    // A poll takes a slot, so more pollers than slots never run.
    Pollers {
        min: pollers.min.min(max_in_flight),
        max: pollers.max.min(max_in_flight),
    }
}

fn read_source(route: &mut Reader<'_>) -> Option<SourceConfig> {
    let given = route.has("swf");
    if !given {
        route.problem(
            "swf",
            None,
            "is missing; add [routes.swf] with domain and task_list",
        );
    }
    let mut swf = route.table("swf");
    let (domain, task_list) = match given {
        false => (None, None),
        true => (
            required(&mut swf, "domain", swf_name_rule),
            required(&mut swf, "task_list", swf_name_rule),
        ),
    };
    swf.finish();
    Some(SourceConfig::Swf {
        domain: domain.unwrap_or_default(),
        task_list: task_list.unwrap_or_default(),
    })
}

fn name_rule(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err("must be 1 to 64 of the characters a-z A-Z 0-9 - _ .".to_owned());
    }
    Ok(text.to_owned())
}

/// SWF's rules for the names of domains and task lists, from its API reference.
pub(super) fn swf_name_rule(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if !(1..=256).contains(&length) {
        return Err(format!(
            "must be 1 to 256 characters long; this has {length}"
        ));
    }
    if text.trim() != text {
        return Err("must not begin or end with white space".to_owned());
    }
    let forbidden =
        |c: char| ":/|".contains(c) || matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    if let Some(bad) = text.chars().find(|c| forbidden(*c)) {
        return Err(format!("must not contain {bad:?}"));
    }
    if text == "arn" {
        return Err("must not be \"arn\", which SWF refuses".to_owned());
    }
    Ok(text.to_owned())
}
