//! The destination of a route's messages: the route's queue, or an exchange of the operator's. This module owns its
//! settings too.

use super::{
    kind::BrokerKind,
    queue::{QueueArguments, QueueSpec},
    template::Template,
};
use crate::settings::Reader;
use std::fmt;

/// The destination of a route's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A queue, by the default exchange.
    Queue(QueueSpec),
    /// An exchange that the operator declares. Its bindings decide where the messages go.
    Exchange {
        /// The exchange's name; at most 255 bytes.
        name: String,
        /// The routing key. With its values put in, it may be longer than AMQP allows.
        key: Template,
        /// The queue whose consumers and length the gate looks at. Without a queue, neither is known.
        queue: Option<QueueSpec>,
    },
}

impl Destination {
    /// The name of the exchange; empty for the default exchange.
    #[must_use]
    pub fn exchange(&self) -> &str {
        match self {
            Self::Queue(_) => "",
            Self::Exchange { name, .. } => name,
        }
    }

    /// The queue that the gate looks at before the route polls.
    #[must_use]
    pub fn queue(&self) -> Option<&QueueSpec> {
        match self {
            Self::Queue(queue) => Some(queue),
            Self::Exchange { queue, .. } => queue.as_ref(),
        }
    }
}

impl Destination {
    /// The delivery limit of this queue, if the bridge declares the queue with one.
    #[must_use]
    pub fn delivery_limit_of(&self, queue: &str) -> Option<u64> {
        let known = self.queue().filter(|known| known.name == queue)?;
        known.declare?.delivery_limit
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue {}", queue.name),
            Self::Exchange { name, .. } => write!(f, "exchange {name}"),
        }
    }
}

/// Reads the destination of a route. It notes each problem. The returned value is complete only if there is no problem.
pub(crate) fn read(route: &mut Reader<'_>, dead_letters: bool, broker: BrokerKind) -> Destination {
    let given = ["exchange", "routing_key"].map(|key| route.has(key));
    let missing = match given {
        [true, false] => Some("routing_key"),
        [false, true] => Some("exchange"),
        [true, true] | [false, false] => None,
    };
    if let Some(key) = missing {
        let rule = "is missing; `exchange` and `routing_key` go together";
        route.problem(key, None, rule);
    }
    for key in ["exchange", "routing_key"] {
        if route.has(key) {
            broker.refuse_without_a_uri(route, key, None);
        }
    }
    let help = "An exchange of yours that tasks are published to, with routing_key.";
    let exchange = route.text("exchange", help, short_rule).optional();
    let help = "The routing key at exchange.";
    let key = route.text("routing_key", help, Template::parse).optional();
    let queue = read_queue(route, dead_letters, given.contains(&true), broker);
    match (exchange, key) {
        (Some(name), Some(key)) => Destination::Exchange { name, key, queue },
        // The name is missing only if that was noted as a problem.
        _ => Destination::Queue(queue.unwrap_or_else(|| QueueSpec::as_it_is(""))),
    }
}

/// Default delivery limit of queues whose dead letters come back. It is the default of RabbitMQ 4. Earlier versions had
/// no limit.
const DELIVERY_LIMIT: u64 = 20;

fn read_queue(
    route: &mut Reader<'_>,
    dead_letters: bool,
    optional: bool,
    broker: BrokerKind,
) -> Option<QueueSpec> {
    if optional && !route.has("queue") {
        return without_queue(route);
    }
    let help = "The queue that tasks are published to, through the default exchange. Beside an exchange, this is the queue whose \
                consumers and length decide whether the bridge polls.";
    // It is not required where there is an exchange.
    if !route.has("queue") {
        route.problem("queue", None, "is missing");
    }
    let name = route.text("queue", help, queue_rule).optional();
    let help = "true: the bridge declares the queue, as a durable quorum queue.";
    let declare = route.flag("declare", help).or(true);
    if !declare {
        broker.refuse_without_a_uri(route, "declare", Some("false".to_owned()));
    }
    let help = "Maximum number of times that a task may go back into the queue, because a worker returned it or died with it.";
    let limit: Option<u64> = route
        .integer("delivery_limit", help, 1..=1_000_000)
        .optional();
    if dead_letters && declare {
        route.compute("delivery_limit", &DELIVERY_LIMIT);
    }
    if let (false, Some(limit)) = (declare, limit) {
        let rule = "is for queues that the bridge declares; remove it, or `declare = false`";
        route.problem("delivery_limit", Some(limit.to_string()), rule);
    }
    let arguments = QueueArguments {
        dead_letters,
        delivery_limit: limit.or(dead_letters.then_some(DELIVERY_LIMIT)),
    };
    Some(QueueSpec {
        name: name?,
        declare: declare.then_some(arguments),
    })
}

/// Refuses the settings about a queue for an exchange without `queue`: an exchange can't tell how many consumers there
/// are.
fn without_queue(route: &mut Reader<'_>) -> Option<QueueSpec> {
    for key in ["declare", "delivery_limit", "max_ready"] {
        if route.has(key) {
            let rule = "is about a queue, and this route names none; remove it, or add `queue`";
            route.problem(key, None, rule);
        }
    }
    // The values have no meaning here, but the keys are known.
    for key in ["declare", "delivery_limit", "queue"] {
        route.discard(key);
    }
    None
}

fn short_rule(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 {
        return Err("must be 1 to 255 bytes long".to_owned());
    }
    Ok(text.to_owned())
}

fn queue_rule(text: &str) -> Result<String, String> {
    if text.starts_with("amq.") {
        return Err("must not begin with \"amq.\", which the broker keeps for itself".to_owned());
    }
    short_rule(text)
}
