//! The settings of one route.

use super::{
    ack_settings::{self, Ack, AckConfig},
    heartbeat_settings::{self, By, HeartbeatConfig},
    poll_settings::{MaxReady, Pollers, read_max_ready, read_pollers, refuse_a_queue_without_room},
};
use crate::{
    broker::{BrokerKind, Destination, TaskQueue, destination, template::Placeholder},
    settings::{Reader, Word},
    source::{SourceConfig, SourceOptions, settings as source, swf::Discover},
    task::Timeouts,
};
use std::{ops::RangeInclusive, time::Duration};

/// The settings of a route: one source of tasks, and where the tasks go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// The route's name in metrics, logs and headers.
    pub name: String,
    /// Where the messages of tasks go.
    pub destination: Destination,
    /// Whether a dead letter ends its task.
    pub dead_letters: bool,
    /// Whether a message expires in its queue at the end of the task's start-to-close timeout.
    pub expire_at_deadline: bool,
    /// The priority of the messages.
    pub priority: Option<u8>,
    /// Maximum number of open polls and tasks in flight together.
    pub max_in_flight: usize,
    /// Minimum and maximum number of open polls.
    pub pollers: Pollers,
    /// Whether the configuration says the minimum. Only then it holds where the workers have no room.
    pub min_pollers_written: bool,
    /// Whether to poll while the queue has no consumer.
    pub poll_without_consumers: bool,
    /// Whether AWS is asked how many tasks wait there, when somebody asks for that.
    pub count_pending: bool,
    /// Maximum number of ready messages in the queue.
    pub max_ready: MaxReady,
    /// What a worker's acknowledgement means.
    pub ack: AckConfig,
    /// Timeout for the publish of a task, all attempts included. After it the task is failed back to AWS.
    pub publish_within: Duration,
    /// The start-to-close timeout of the activity type, if it is configured.
    pub start_to_close: Option<Duration>,
    /// The heartbeat settings of the route.
    pub heartbeat: HeartbeatConfig,
    /// What happens to a result that is too long for AWS.
    pub oversize_result: OversizeResult,
    /// Whether a message's body begins with its properties, for clients that show only the body to their user.
    pub properties_in_body: bool,
    /// Where tasks come from.
    pub source: SourceConfig,
}

impl RouteConfig {
    /// The options for the route's source.
    #[must_use]
    pub fn source_options(&self) -> SourceOptions<'_> {
        SourceOptions {
            route: &self.name,
            source: &self.source,
            timeouts: Timeouts {
                heartbeat: self.heartbeat.timeout.into(),
                start_to_close: self.start_to_close.into(),
            },
            discover: self.heartbeat.discover,
        }
    }

    /// Maximum number of ready messages where the broker does not tell the credit of the consumers.
    #[must_use]
    pub fn max_ready_without_credit(&self) -> u64 {
        match self.max_ready {
            MaxReady::Auto => self.max_in_flight as u64,
            MaxReady::Number(number) => number,
        }
    }

    /// The queue of the route, for the bridge as the broker; `None` if the route names none.
    #[must_use]
    pub fn task_queue(&self) -> Option<TaskQueue> {
        let queue = self.destination.queue()?;
        let limit = queue.declare.and_then(|arguments| arguments.delivery_limit);
        Some(TaskQueue {
            name: queue.name.clone(),
            route: self.name.clone(),
            completes: self.ack.ack == Ack::Completes,
            is_written: self.ack.ack_written,
            ack_grace: self.ack.grace,
            ack_timeout: self.ack.timeout,
            delivery_limit: limit,
        })
    }

    /// The interval of the bridge's heartbeats, if no timeout is known and the interval is therefore an assumption.
    #[must_use]
    pub fn supposed_interval(&self) -> Option<Duration> {
        let HeartbeatConfig {
            by,
            timeout,
            discover,
            ..
        } = self.heartbeat;
        let supposed = timeout.is_none() && discover == Discover::Off && by != By::Worker;
        supposed.then(|| self.heartbeat.interval(None))
    }
}

/// What happens to a result that is too long for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OversizeResult {
    /// The bridge fails the task with a reason that says so, and parks the reply.
    Fail,
    /// The bridge parks the reply, and the task stays open.
    Park,
}

impl Word for OversizeResult {
    const WORDS: &'static [(&'static str, Self)] = &[("fail", Self::Fail), ("park", Self::Park)];
}

/// The allowed range of a time in the settings, in seconds: up to a year.
const SECONDS: RangeInclusive<u64> = 1..=31_536_000;

/// Reads a route and notes its problems; `None` if a setting without a default is missing.
pub(crate) fn read(mut route: Reader<'_>, broker: BrokerKind) -> Option<RouteConfig> {
    let help = "The name of the route in logs, in metrics, in the header route and in the identity that AWS records.";
    let name = route.text("name", help, name_rule).required();
    let help = "true: the bridge fails a task that a worker rejects, that expires in the queue, or that reaches its delivery limit.";
    let dead_letters = route.flag("dead_letters", help).or(true);
    let help = "The AMQP priority of the messages.";
    let priority: Option<u8> = route.integer("priority", help, 0..=255).optional();
    if let Some(priority) = priority {
        broker.refuse_without_a_uri(&route, "priority", Some(priority.to_string()));
    }
    let source = source::read(&mut route);
    let blind = route.has("exchange") && !route.has("queue");
    let destination = destination::read(&mut route, dead_letters, broker);
    refuse_unknown_placeholders(&route, &destination, &source);
    let help = "true: the bridge polls although nobody consumes from the queue.";
    let poll_without_consumers = route.flag("poll_without_consumers", help).or(false);
    if blind && !poll_without_consumers {
        let rule = "must be true where no queue is named, because the bridge can't see who consumes; or add `queue`";
        route.problem("poll_without_consumers", None, rule);
    }
    let help = "false: the bridge never asks AWS how many tasks of the route wait there.";
    let count_pending = route.flag("count_pending", help).or(true);
    let help = "Number of slots: the maximum of open polls and tasks in flight together.";
    let max_in_flight = route.integer("max_in_flight", help, 1..=60_000).or(100);
    let max_ready = read_max_ready(&mut route, broker, max_in_flight);
    let ack = ack_settings::read(&mut route, broker, &source);
    let help = "Timeout for publishing a task, in seconds from the poll on.";
    let publish_within = route.integer("publish_within_secs", help, SECONDS).or(300);
    let help = "The start-to-close timeout of the activity types, which SWF tells no worker. On Step Functions, the state's TimeoutSeconds.";
    let start_to_close = route.integer("start_to_close_secs", help, SECONDS);
    let help = "What becomes of a task whose result is longer than AWS takes: 32,768 characters on SWF, 262,144 bytes of JSON on Step Functions.";
    let oversize_result = route.word("oversize_result", help);
    let heartbeat = heartbeat_settings::read(route.table("heartbeat"), source.tells_timeouts());

    let (pollers, min_pollers_written) = read_pollers(&mut route, max_in_flight, &source);
    if broker == BrokerKind::Endpoint && poll_without_consumers && !min_pollers_written {
        refuse_a_queue_without_room(&route, max_ready);
    }

    let help = "true: a message that is still in its queue expires at the task's start-to-close timeout, when AWS gives the task up.";
    let expire_at_deadline = route.flag("expire_at_deadline", help).or(false);
    let help = "true: the body of a task begins with its properties, for clients that show the body alone.";
    let properties_in_body = route.flag("properties_in_body", help).or(false);
    let read = RouteConfig {
        name: name.unwrap_or_default(),
        destination,
        dead_letters,
        expire_at_deadline,
        priority,
        max_in_flight,
        pollers,
        min_pollers_written,
        poll_without_consumers,
        count_pending,
        max_ready,
        ack,
        publish_within: Duration::from_secs(publish_within),
        start_to_close: start_to_close.optional().map(Duration::from_secs),
        heartbeat,
        oversize_result: oversize_result.or(OversizeResult::Fail),
        properties_in_body,
        source,
    };
    route.finish();
    Some(read)
}

/// Reports placeholders that the source can't fill: every routing key would have a gap there.
fn refuse_unknown_placeholders(
    route: &Reader<'_>,
    destination: &Destination,
    source: &SourceConfig,
) {
    let Destination::Exchange { key, .. } = destination else {
        return;
    };
    let known = placeholders(source);
    for placeholder in key.placeholders().filter(|used| !known.contains(used)) {
        let value = Some(format!("{{{}}}", placeholder.name()));
        let known: Vec<_> = known.iter().map(|known| known.name()).collect();
        let rule = format!(
            "is not told of tasks from this source; known: {}",
            known.join(", ")
        );
        route.problem("routing_key", value, rule);
    }
}

/// The placeholders of a routing key.
fn placeholders(source: &SourceConfig) -> &'static [Placeholder] {
    match source {
        SourceConfig::Swf(_) => &Placeholder::ALL,
        SourceConfig::StepFunctions(_) => &[Placeholder::ActivityType],
    }
}

fn name_rule(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err("must be 1 to 64 of the characters a-z A-Z 0-9 - _ .".to_owned());
    }
    Ok(text.to_owned())
}
