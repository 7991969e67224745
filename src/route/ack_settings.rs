//! The settings of a route about acknowledgements: what a worker's acknowledgement means for its task.

use crate::{broker::BrokerKind, settings::Reader, source::SourceConfig};
use std::{fmt, time::Duration};

/// The settings of a route about acknowledgements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckConfig {
    /// What an acknowledgement means.
    pub ack: Ack,
    /// Whether the configuration says so. If it does not, the bridge may change it while it runs.
    pub ack_written: bool,
    /// The result of a task that an acknowledgement completes; `None` for no result.
    pub result: Option<String>,
    /// Time after an acknowledgement in which a reply still decides.
    pub grace: Duration,
    /// Timeout for a worker that neither acknowledges nor says anything; `None` for no timeout.
    pub timeout: Option<Duration>,
}

/// What an acknowledgement means for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The task is completed, if nothing was said about it.
    Completes,
    /// The worker has the task, and a reply will end it.
    Releases,
}

impl Ack {
    /// The value in the configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Completes => "completes",
            Self::Releases => "releases",
        }
    }
}

/// What an acknowledgement does to its task, in words.
impl fmt::Display for AckConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ack {
            Ack::Completes => {
                let millis = self.grace.as_millis();
                write!(
                    f,
                    "an acknowledgement completes the task after {millis} ms, with "
                )?;
                match &self.result {
                    Some(result) => write!(f, "the result {result}"),
                    None => f.write_str("no result"),
                }?;
                f.write_str(", unless the worker has said something about it")
            }
            Ack::Releases => f.write_str(
                "an acknowledgement settles nothing; a reply or a timeout ends the task",
            ),
        }
    }
}

/// The result that Step Functions gets by default. It takes nothing but JSON.
const JSON_NOTHING: &str = "null";

/// Default time after an acknowledgement in which a reply still decides.
const DEFAULT_GRACE: Duration = Duration::from_millis(100);

/// Reads the keys about acknowledgements and notes their problems.
pub(super) fn read(route: &mut Reader<'_>, broker: BrokerKind, source: &SourceConfig) -> AckConfig {
    let written = route.text("ack", |text| match (text, broker) {
        ("completes", BrokerKind::RabbitMq) => Err(
            "is for the bridge as the broker, because RabbitMQ tells nobody that a worker has acknowledged; remove it"
                .to_owned(),
        ),
        ("completes", BrokerKind::Endpoint) => Ok(Ack::Completes),
        ("releases", _) => Ok(Ack::Releases),
        _ => Err("must be \"completes\" or \"releases\"".to_owned()),
    });
    let by_default = match broker {
        BrokerKind::Endpoint => Ack::Completes,
        BrokerKind::RabbitMq => Ack::Releases,
    };
    let ack = written.unwrap_or(by_default);
    refuse_without_effect(route, broker, ack);
    let result = route.text("ack_result", |text| source.result_rule(text));
    let grace = route.integer("ack_grace_ms", 0..=60_000);
    let timeout = route.integer("ack_timeout_secs", 1..=31_536_000);
    AckConfig {
        ack,
        ack_written: written.is_some(),
        result: result.or_else(|| match source {
            SourceConfig::Swf(_) => None,
            SourceConfig::StepFunctions(_) => Some(JSON_NOTHING.to_owned()),
        }),
        grace: grace.map_or(DEFAULT_GRACE, Duration::from_millis),
        timeout: timeout.map(Duration::from_secs),
    }
}

/// Reports keys that mean nothing with this broker, or with this meaning of an acknowledgement.
fn refuse_without_effect(route: &Reader<'_>, broker: BrokerKind, ack: Ack) {
    for key in ["ack_result", "ack_grace_ms", "ack_timeout_secs"] {
        if !route.has(key) {
            continue;
        }
        if broker == BrokerKind::RabbitMq {
            let rule = "is for the bridge as the broker, because RabbitMQ tells nobody that a worker has acknowledged; \
                        remove it";
            route.problem(key, None, rule);
        } else if ack == Ack::Releases && key != "ack_timeout_secs" {
            let rule = "is for ack = \"completes\"; remove it, or ack = \"releases\"";
            route.problem(key, None, rule);
        }
    }
}
