//! The settings of a route about polling: how many polls are open, and how many messages may wait.

use crate::{broker::BrokerKind, settings::Reader, source::SourceConfig};

/// Minimum and maximum number of open polls of a route. `1 <= min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pollers {
    /// Number of open polls while the source has no tasks.
    pub min: usize,
    /// Number of open polls while every poll returns a task.
    pub max: usize,
}

/// Maximum number of ready messages in the queue of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxReady {
    /// As many as the workers lately took in one second.
    Auto,
    /// This number.
    Number(u64),
}

/// The default for `pollers`. AWS advises 100 pollers for a busy activity.
fn usual_pollers(source: &SourceConfig) -> Pollers {
    match source {
        SourceConfig::Swf(_) => Pollers { min: 2, max: 20 },
        SourceConfig::StepFunctions(_) => Pollers { min: 2, max: 100 },
    }
}

/// Reads the minimum and maximum number of open polls. True if the minimum is written.
pub(super) fn read_pollers(
    route: &mut Reader<'_>,
    max_in_flight: usize,
    source: &SourceConfig,
) -> (Pollers, bool) {
    let usual = usual_pollers(source);
    let mut table = route.table("pollers");
    // SWF holds at most 1,000 polls open for one task list, Step Functions for one activity.
    let help = "Number of polls that are open while nothing comes.";
    let min = table.integer("min", help, 1..=1_000).optional();
    let help = "Number of polls that are open while each poll brings a task: on SWF at once, on Step Functions at all.";
    let max = table.integer("max", help, 1..=1_000).optional();
    let pollers = Pollers {
        min: min.unwrap_or_else(|| max.map_or(usual.min, |max| usual.min.min(max))),
        max: max.unwrap_or_else(|| min.map_or(usual.max, |min| usual.max.max(min))),
    };
    if pollers.min > pollers.max {
        let rule = format!("must not exceed pollers.max, which is {}", pollers.max);
        table.problem("min", Some(pollers.min.to_string()), rule);
    }
    // A poll needs a slot, so more pollers than slots would never run.
    let within_slots = Pollers {
        min: pollers.min.min(max_in_flight),
        max: pollers.max.min(max_in_flight),
    };
    table.compute("min", &within_slots.min);
    table.compute("max", &within_slots.max);
    table.finish();
    (within_slots, min.is_some())
}

/// Reads `max_ready`. RabbitMQ does not tell how fast workers take messages.
pub(super) fn read_max_ready(
    route: &mut Reader<'_>,
    broker: BrokerKind,
    max_in_flight: usize,
) -> MaxReady {
    let meaning = ("auto", MaxReady::Auto, MaxReady::Number);
    let help = "With RabbitMQ, the bridge does not poll while more messages than this are ready in the queue. Where the bridge is the \
                broker, it polls for the workers that have room, and for this many tasks more.";
    let bounds = 0..=1_000_000_000;
    let read = route.integer_or("max_ready", help, bounds, meaning);
    match (read.optional(), broker) {
        (Some(MaxReady::Auto), BrokerKind::RabbitMq) => {
            let rule = "is for the bridge as the broker, because RabbitMQ does not tell how fast workers take messages; \
                        give a number";
            route.problem("max_ready", Some("\"auto\"".to_owned()), rule);
            MaxReady::Auto
        }
        (Some(read), _) => read,
        (None, BrokerKind::RabbitMq) => {
            route.compute("max_ready", &max_in_flight);
            MaxReady::Number(max_in_flight as u64)
        }
        (None, BrokerKind::Endpoint) => {
            route.compute("max_ready", &"auto".to_owned());
            MaxReady::Auto
        }
    }
}

/// Reports a route that polls without consumers and lets no message wait. It would never poll.
pub(super) fn refuse_a_queue_without_room(route: &Reader<'_>, max_ready: MaxReady) {
    let value = match max_ready {
        MaxReady::Number(0) => Some("0".to_owned()),
        MaxReady::Auto => None,
        MaxReady::Number(_) => return,
    };
    let rule = "must be a number from 1 on beside poll_without_consumers = true, because otherwise no task may wait for a \
                worker; say how many may, or set pollers.min";
    route.problem("max_ready", value, rule);
}
